// SPDX-License-Identifier: Apache-2.0
// What one frame of the headset holds, as the message that the server reads.

const SIDES = { right: "r", left: "l" };
// xr-standard: trigger, squeeze, (touchpad), stick, A or X, B or Y, thumb rest.
const [TRIGGER, SQUEEZE, STICK, LOWER, UPPER, REST] = [0, 1, 3, 4, 5, 6];

export function frameMessage(frame, session, space, origin) {
  const message = {
    t: round(performance.now(), 3), vis: session.visibilityState, origin, r: null, l: null, h: head(frame, space),
  };
  for (const source of session.inputSources) {
    const side = SIDES[source.handedness];
    if (side && isController(source)) message[side] = controller(frame, source, space);
  }
  return message;
}

// Without a single pose: the operator sees something else, or nothing.
export const blindMessage = (session, origin) =>
  ({ t: round(performance.now(), 3), vis: session.visibilityState, origin, r: null, l: null, h: null });

export const isController = (source) => Boolean(source.gamepad) && !source.hand && source.gamepad.mapping === "xr-standard";

function controller(frame, source, space) {
  const { buttons, axes } = source.gamepad;
  const value = (k) => round(Math.min(Math.max(buttons[k]?.value ?? 0, 0), 1), 4);
  const pressed = (k) => (buttons[k]?.pressed ? 1 : 0);
  const rests = [STICK, LOWER, UPPER, REST].some((k) => buttons[k]?.touched);
  const pose = source.gripSpace && frame.getPose(source.gripSpace, space);
  return {
    ok: pose ? 1 : 0, emu: pose?.emulatedPosition ? 1 : 0, ...(pose ? placed(pose.transform) : {}),
    b: [value(TRIGGER), value(SQUEEZE), pressed(STICK), pressed(LOWER), pressed(UPPER), rests ? 1 : 0],
    x: [unit(axes[2]), unit(axes[3])],
  };
}

function head(frame, space) {
  const pose = frame.getViewerPose(space);
  return pose ? placed(pose.transform) : null;
}

function placed({ position: p, orientation: q }) {
  return { p: [round(p.x), round(p.y), round(p.z)], q: [round(q.x), round(q.y), round(q.z), round(q.w)] };
}

const round = (value, digits = 6) => Number(value.toFixed(digits));
const unit = (value) => round(Math.min(Math.max(value ?? 0, -1), 1), 4);
