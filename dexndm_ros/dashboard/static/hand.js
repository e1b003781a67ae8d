// SPDX-License-Identifier: Apache-2.0
// The LEAP hand seen on its grasp side, fingers up: a tile a motor, coloured by a value.

import { svg } from "./charts.js";
import { known, words } from "./format.js";

// Middle of each motor's tile. The columns are the fingers' places on the palm; along a finger the motors
// are spread evenly, for on the real one two of them nearly touch.
const COLUMNS = { ring: 36, middle: 86, index: 136 };
const ROWS = { mcp_forward: 164, mcp_side: 132, pip: 92, dip: 60 };
const PLACES = {
  thumb_cmc: [122, 228], thumb_axl: [160, 216], thumb_mcp: [191, 190], thumb_ipl: [208, 158],
};
for (const [finger, x] of Object.entries(COLUMNS)) {
  for (const [part, y] of Object.entries(ROWS)) PLACES[`${finger}_${part}`] = [x, y];
}

// Stops of a scale: [value, [r, g, b]], rising.
export const heat = (warm, hot) => [
  [20, [96, 143, 186]], [(20 + warm) / 2, [143, 186, 160]], [warm, [235, 178, 74]], [hot, [206, 58, 46]],
];
export const power = (full) => [
  [0, [226, 221, 240]], [0.4 * full, [160, 132, 202]], [full, [86, 38, 132]],
];

function mixed(stops, value) {
  let k = 0;
  while (k < stops.length - 2 && value > stops[k + 1][0]) k += 1;
  const [[v0, c0], [v1, c1]] = [stops[k], stops[k + 1]];
  const f = Math.min(Math.max((value - v0) / (v1 - v0), 0), 1);
  return c0.map((c, n) => Math.round(c + f * (c1[n] - c)));
}

const css = (rgb) => `rgb(${rgb.join(" ")})`;
const ink = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#1c1a17" : "#ffffff");

export class HandPicture {
  // stops: the scale; show: value to the few characters on a tile; unit: for the words.
  constructor(parent, joints, stops, show, unit) {
    Object.assign(this, { joints, stops, show, unit, tiles: [] });
    const bones = Object.values(COLUMNS).map((x) => svg("rect", { class: "bone", x: x - 15, y: 18, width: 30, height: 165, rx: 15 }));
    const thumb = svg("path", {
      d: "M122 228 L160 216 L191 190 L208 158 L220 118", fill: "none", stroke: "var(--bone)", "stroke-width": 30,
      "stroke-linecap": "round", "stroke-linejoin": "round",
    });
    const palm = svg("rect", { class: "bone", x: 14, y: 142, width: 144, height: 106, rx: 18 });
    this.picture = svg("svg", { viewBox: "0 0 240 286", role: "img" }, [palm, ...bones, thumb]);
    for (const [finger, x] of Object.entries(COLUMNS)) this.#text(finger, x, 12, "finger");
    this.#text("thumb", 220, 94, "finger");
    for (const joint of joints) this.#tile(joint);
    this.#legend();
    parent.replaceChildren(this.picture);
  }

  #text(words, x, y, kind) {
    const text = svg("text", { x, y, class: kind }, [words]);
    this.picture.append(text);
    return text;
  }

  #tile(joint) {
    const [x, y] = PLACES[joint] ?? [20, 270];
    const title = svg("title", {}, [words(joint)]);
    const tile = svg("rect", { class: "tile unknown", x: x - 18, y: y - 13, width: 36, height: 26, rx: 7, "data-joint": joint }, [title]);
    this.picture.append(tile);
    this.tiles.push({ tile, title, text: this.#text("", x, y + 4, "value") });
  }

  #legend() {
    const low = this.stops[0][0], high = this.stops[this.stops.length - 1][0];
    for (let k = 0; k < 30; k += 1) {
      const fill = css(mixed(this.stops, low + ((k + 0.5) / 30) * (high - low)));
      this.picture.append(svg("rect", { x: 60 + 4 * k, y: 264, width: 4.3, height: 7, fill }));
    }
    this.#text(this.show(low), 48, 271, "legend-text");
    this.#text(this.show(high), 194, 271, "legend-text");
  }

  // values: one a joint, null = not known; bad: {index: why} of motors with something wrong.
  update(values, bad) {
    let most = -1;
    this.tiles.forEach(({ tile, title, text }, k) => {
      const value = values[k], wrong = bad[k];
      const rgb = known(value) ? mixed(this.stops, value) : null;
      tile.classList.toggle("unknown", !rgb);
      tile.classList.toggle("bad", Boolean(wrong));
      tile.style.fill = rgb ? css(rgb) : "";
      text.style.fill = rgb ? ink(rgb) : "var(--quiet)";
      text.textContent = wrong && !rgb ? "×" : rgb ? this.show(value) : "–";
      title.textContent = `${words(this.joints[k])} (motor ${k}): ` +
        (rgb ? `${this.show(value)} ${this.unit}` : "not known") + (wrong ? `, ${wrong}` : "");
      if (known(value) && (most < 0 || value > values[most])) most = k;
    });
    const wrong = Object.keys(bad).map((k) => `${words(this.joints[k])} ${bad[k]}`);
    const text = most < 0 ? "Not known yet."
      : `Highest: ${words(this.joints[most])}, ${this.show(values[most])}\u202f${this.unit}.`;
    const summary = text + (wrong.length ? ` ${wrong.join("; ")}.` : "");
    this.picture.setAttribute("aria-label", summary);
    return summary;
  }
}
