// SPDX-License-Identifier: Apache-2.0
// Puts the parts together: what the server says is shown here and in the headset, Start begins a session.

import { Link } from "./link.js";
import { Session, whyNot } from "./session.js";
import { sentence, steps } from "./words.js";

const SILENT_MS = 1500;
const $ = (id) => document.getElementById(id);
let heardAt = 0;
let said = { title: "Connecting", tone: "off", why: "", cure: "", figures: {} }; // by the server

const link = new Link({ state: showLink, status: hear, driving: showDriving, pulse: (...how) => session.pulse(...how) });
const session = new Session({ frame: (message) => link.frame(message), ended: stopped });

function show(status) {
  $("state").dataset.tone = status.tone;
  for (const part of ["title", "why"]) $(part).textContent = status[part];
  const todo = steps(status.cure);
  $("cure").replaceChildren(...(todo.length > 2 ? [list(todo)] : [status.cure]));
  $("cure").classList.toggle("steps", todo.length > 2);
  $("cure").hidden = !status.cure;
  session.panel.show(status);
  document.title = `${status.title} · Teleoperation`;
}

function list(texts) {
  const items = document.createElement("ol");
  items.append(...texts.map((text) => {
    const item = document.createElement("li");
    item.textContent = text;
    return item;
  }));
  return items;
}

function hear(status, driven) {
  heardAt = performance.now();
  said = status;
  show(status);
  const figures = { ...status.figures, Sent: `${link.sent} frames`, "Held back": `${link.dropped} frames` };
  $("figures").replaceChildren(...Object.entries(figures).map(([name, value]) => {
    const row = document.createElement("div"), term = document.createElement("dt"), data = document.createElement("dd");
    term.textContent = name;
    data.textContent = value;
    row.append(term, data);
    return row;
  }));
  $("driven").textContent = driven ? "A headset is driving." : "No headset is driving.";
}

function showLink(state, why) {
  $("pairing").hidden = state !== "unpaired";
  if (state === "lost") { link.driving = false; heardAt = 0; lost(); }
  if (state === "unpaired") show({ title: "Not paired", tone: "warn", why: link.why, cure: "Type the code that the terminal shows." });
  if (state === "ready") $("note").textContent = reason;
  if (why) $("note").textContent = sentence(why);
  $("start").disabled = state !== "ready" || !possible;
}

function showDriving(driving, why) {
  if (driving || !why) return;
  $("note").textContent = sentence(why);
  session.end();
}

function lost() {
  show({ title: "No connection", tone: "bad", why: "The server does not answer; the arm holds.", cure: "Wait, or start the node again." });
}

function stopped() {
  link.release();
  $("start").textContent = "Start";
}

$("start").addEventListener("click", async () => {
  if (session.running) return session.end();
  $("note").textContent = "";
  try {
    await session.start();
    $("start").textContent = "End";
    link.claim();
  } catch (error) {
    $("note").textContent = `The session did not start: ${error.message}`;
  }
});
$("pairing").addEventListener("submit", (event) => {
  event.preventDefault();
  link.pair($("code").value.trim());
});
window.addEventListener("pagehide", () => { link.release(); session.end(); });
setInterval(() => { if (heardAt && performance.now() - heardAt > SILENT_MS) lost(); }, 300);

const reason = await whyNot();
const possible = !reason;
$("note").textContent = reason;
link.takeToken();
link.open();
