// SPDX-License-Identifier: Apache-2.0
// The immersive session: its frames go out, its words are drawn, and whatever interrupts it is told at once.

import { blindMessage, frameMessage, isController } from "./frames.js";
import { Panel } from "./panel.js";

const MODES = ["immersive-ar", "immersive-vr"]; // with the room in view where the headset can
const RATE_HZ = 90;

export async function whyNot() {
  if (!window.isSecureContext) return "This address is not secure. Open it as https, or as http://localhost through USB.";
  if (!navigator.xr) return "This browser has no WebXR. Open the page in the headset's browser; here it only shows.";
  for (const mode of MODES) if (await navigator.xr.isSessionSupported(mode)) return "";
  return "This device has no immersive session. Open the page in the headset's browser; here it only shows.";
}

export class Session {
  // on: {frame(message), ended()}
  constructor(on) {
    this.on = on;
    this.origin = 0;
    this.panel = new Panel();
  }

  get running() { return Boolean(this.session); }

  async start() {
    const session = await this.#request();
    try {
      await this.#prepare(session);
    } catch (error) {
      await session.end().catch(() => {}); // half a session would keep the headset from a second try
      throw error;
    }
  }

  async #request() {
    for (const mode of MODES) {
      if (!(await navigator.xr.isSessionSupported(mode))) continue;
      return navigator.xr.requestSession(mode, { requiredFeatures: ["local-floor"] });
    }
    throw new Error("there is no immersive session here");
  }

  async #prepare(session) {
    const space = await session.requestReferenceSpace("local-floor");
    this.origin += 1; // a new session has a floor space of its own
    space.addEventListener("reset", () => { this.origin += 1; });
    await this.panel.begin(session);
    const rates = session.supportedFrameRates;
    if (rates && [...rates].includes(RATE_HZ)) await session.updateTargetFrameRate?.(RATE_HZ).catch(() => {});
    session.addEventListener("visibilitychange", () => this.#blind());
    session.addEventListener("inputsourceschange", (event) => { if (event.removed.length) this.#blind(); });
    session.addEventListener("end", () => { this.session = null; this.on.ended(); });
    this.session = session;
    const draw = (_, frame) => {
      session.requestAnimationFrame(draw);
      this.on.frame(frameMessage(frame, session, space, this.origin));
      this.panel.draw(session, frame, space);
    };
    session.requestAnimationFrame(draw);
  }

  end() { this.session?.end().catch(() => {}); }

  pulse(hand, strength, ms) {
    for (const source of this.session?.inputSources ?? []) {
      if (source.handedness === hand && isController(source)) source.gamepad.hapticActuators?.[0]?.pulse(strength, ms);
    }
  }

  #blind() { if (this.session) this.on.frame(blindMessage(this.session, this.origin)); }
}
