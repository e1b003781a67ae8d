// SPDX-License-Identifier: Apache-2.0
// The words in the headset: a picture of text, drawn on one rectangle that stays below where the operator looks.

import { steps } from "./words.js";

const WIDTH = 1024, HEIGHT = 320;             // of the picture, pixels
const HALF_M = [0.32, 0.1], PLACE_M = [0, -0.28, -0.9];
const TONES = { off: "#8a857b", wait: "#7fb0e3", good: "#5fbf86", warn: "#e5a83f", bad: "#f2796f" };
const VERTEX = `attribute vec2 corner; uniform mat4 place; varying vec2 at;
void main() { at = vec2(corner.x + 1.0, 1.0 - corner.y) / 2.0;
  gl_Position = place * vec4(corner * vec2(${HALF_M.map((m) => m.toFixed(3))}), 0.0, 1.0); }`;
const FRAGMENT = `precision mediump float; uniform sampler2D picture; varying vec2 at;
void main() { gl_FragColor = texture2D(picture, at); }`;

export class Panel {
  constructor() {
    this.picture = document.createElement("canvas");
    [this.picture.width, this.picture.height] = [WIDTH, HEIGHT];
    this.show({ title: "Connecting", tone: "off", why: "", cure: "" });
  }

  show({ title, tone, why, cure }) {
    const key = JSON.stringify([title, tone, why, cure]);
    if (key === this.shown) return;
    this.shown = key;
    const brush = this.picture.getContext("2d");
    brush.clearRect(0, 0, WIDTH, HEIGHT);
    brush.fillStyle = "#21201dee";
    brush.fillRect(0, 0, WIDTH, HEIGHT);
    brush.fillStyle = TONES[tone] ?? TONES.off;
    brush.fillRect(0, 0, 20, HEIGHT);
    brush.font = "bold 64px sans-serif";
    brush.fillText(title, 50, 80, WIDTH - 70);
    brush.fillStyle = "#edeae4";
    brush.font = "40px sans-serif";
    const end = why ? lines(brush, why, 50, 145, 2) : 145;
    brush.font = "bold 40px sans-serif";
    const todo = steps(cure);
    lines(brush, todo.length > 2 ? `${todo.length} steps: read them on the desktop page.` : cure, 50, end, 2);
    this.stale = true;
  }

  async begin(session) {
    const canvas = document.createElement("canvas");
    const gl = canvas.getContext("webgl", { xrCompatible: true, alpha: true });
    if (!gl) throw new Error("the browser gives no WebGL");
    await gl.makeXRCompatible?.();
    this.gl = gl;
    await session.updateRenderState({ baseLayer: new XRWebGLLayer(session, gl) });
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "corner");
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    this.place = gl.getUniformLocation(program, "place");
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const [name, value] of [[gl.TEXTURE_MIN_FILTER, gl.LINEAR], [gl.TEXTURE_MAG_FILTER, gl.LINEAR],
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE], [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE]]) gl.texParameteri(gl.TEXTURE_2D, name, value);
    this.stale = true;
  }

  draw(session, frame, space) {
    const gl = this.gl, layer = session.renderState.baseLayer, viewer = frame.getViewerPose(space);
    gl.bindFramebuffer(gl.FRAMEBUFFER, layer.framebuffer);
    gl.clearColor(0, 0, 0, 0); // transparent: the room stays in view
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    if (!viewer) return;
    if (this.stale) {
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, this.picture);
      this.stale = false;
    }
    const ahead = times(viewer.transform.matrix, moved(...PLACE_M));
    for (const view of viewer.views) {
      const { x, y, width, height } = layer.getViewport(view);
      gl.viewport(x, y, width, height);
      gl.uniformMatrix4fv(this.place, false, times(view.projectionMatrix, times(view.transform.inverse.matrix, ahead)));
      gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    }
  }
}

// Writes a sentence over at most so many lines; where the next one goes.
function lines(brush, text, x, y, most) {
  let line = "";
  const rows = [];
  for (const word of text.split(" ")) {
    if (line && brush.measureText(`${line} ${word}`).width > WIDTH - 2 * x) { rows.push(line); line = word; }
    else line = line ? `${line} ${word}` : word;
  }
  rows.push(line);
  const kept = rows.slice(0, most);
  kept.forEach((row, k) => brush.fillText(k === most - 1 && rows.length > most ? `${row}…` : row, x, y + 46 * k, WIDTH - 2 * x));
  return y + 46 * kept.length + 4;
}

// 4 x 4 matrices, column by column as WebGL has them.
function times(a, b) {
  const c = new Float32Array(16);
  for (let i = 0; i < 4; i++) for (let j = 0; j < 4; j++) for (let k = 0; k < 4; k++) c[4 * j + i] += a[4 * k + i] * b[4 * j + k];
  return c;
}
const moved = (x, y, z) => new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, y, z, 1]);
