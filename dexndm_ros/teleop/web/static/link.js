// SPDX-License-Identifier: Apache-2.0
// The socket to the server: proves that the page knows the token, connects again by itself, sends only the newest.

const VERSION = 1;
const AGAIN_MS = 1000;
const BACKLOG_BYTES = 1400; // about two frames; what has not left by then is old before it arrives
const WRONG_TOKEN = 4001; // no other end says anything about the token

export class Link {
  // on: {state(name, why), status(status, driven), driving(yes, why), pulse(hand, strength, ms)}
  constructor(on) {
    this.on = on;
    this.ready = false;
    this.wanted = false;      // the operator wants to drive: claimed again after each reconnection
    this.dropped = 0;
    this.sent = 0;
    this.seq = 0;
    this.page = crypto.randomUUID?.() ?? "";  // so that it may take over from a connection of its own that broke
    this.why = "";            // the token that was here is good no more
  }

  get token() { return localStorage.getItem("token") ?? ""; }

  takeToken() {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (!given) return;
    localStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/socket`);
    this.socket = socket;
    socket.onmessage = (event) => this.#hear(JSON.parse(event.data));
    socket.onclose = (event) => {
      this.ready = false;
      if (event.code === WRONG_TOKEN && this.token) {
        localStorage.removeItem("token"); // it is wrong: ask the person
        this.why = event.reason;
      }
      this.on.state("lost", event.reason);
      setTimeout(() => this.open(), AGAIN_MS);
    };
  }

  pair(code) { this.#say({ pair: code }); }

  claim() { this.wanted = true; if (this.ready) this.#say({ claim: this.page }); }

  release() { this.wanted = false; if (this.ready) this.#say({ release: 1 }); }

  // Frames that wait behind others would arrive late: those are not sent at all.
  frame(frame) {
    if (!this.ready || !this.driving) return false;
    if (this.socket.bufferedAmount > BACKLOG_BYTES) { this.dropped += 1; return false; }
    this.#say({ seq: ++this.seq, ...frame });
    this.sent += 1;
    return true;
  }

  #say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ v: VERSION, ...message }));
  }

  async #hear(message) {
    if ("ping" in message) this.#say({ pong: message.ping, t: performance.now() });
    if (message.challenge) {
      if (this.token) this.#say({ answer: await proof(this.token, message.challenge) });
      else this.on.state("unpaired", "");
    }
    if (message.token) localStorage.setItem("token", message.token);
    if (message.welcome) {
      this.ready = true;
      this.why = "";
      this.on.state("ready", "");
      if (this.wanted) this.#say({ claim: this.page });
    }
    if ("driving" in message) { this.driving = message.driving; this.on.driving(message.driving, message.why); }
    if (message.status) this.on.status(message.status, message.driven);
    if (message.pulse) this.on.pulse(...message.pulse);
  }
}

async function proof(token, challenge) {
  const bytes = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", bytes.encode(token), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signed = await crypto.subtle.sign("HMAC", key, bytes.encode(challenge));
  return [...new Uint8Array(signed)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
