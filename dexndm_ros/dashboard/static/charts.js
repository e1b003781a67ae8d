// SPDX-License-Identifier: Apache-2.0
// Sparklines and the small plots of a trajectory, as SVG.

import { known } from "./format.js";

const NS = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, children = []) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A line through points; null leaves a gap.
function path(points) {
  let text = "", pen = false;
  for (const [x, y] of points) {
    if (!known(x) || !known(y)) { pen = false; continue; }
    text += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = true;
  }
  return text;
}

function range(values, least) {
  const finite = values.filter(known);
  if (!finite.length) return [0, least];
  let low = Math.min(...finite), high = Math.max(...finite);
  if (high - low < least) { const middle = (low + high) / 2; low = middle - least / 2; high = middle + least / 2; }
  return [low, high];
}

// points: [[t, value], ...]; least: smallest height of the scale, so that noise stays small.
export function sparkline(points, least, label) {
  const [w, h, pad] = [300, 40, 3];
  const [low, high] = range(points.map((p) => p[1]), least);
  const t0 = points.length ? points[0][0] : 0;
  const t1 = points.length ? points[points.length - 1][0] : 1;
  const place = ([t, v]) => [
    t1 > t0 ? ((t - t0) / (t1 - t0)) * w : w,
    known(v) ? h - pad - ((v - low) / (high - low)) * (h - 2 * pad) : null,
  ];
  return svg("svg", { viewBox: `0 0 ${w} ${h}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, [
    svg("line", { class: "axis", x1: 0, x2: w, y1: h - 0.5, y2: h - 0.5 }),
    svg("path", { class: "line", d: path(points.map(place)) }),
  ]);
}

export function jointPlot(name, steps, target, position, total) {
  const [w, h, pad] = [200, 64, 4];
  const [low, high] = range([...target, ...position], 0.3);
  const place = (values) => values.map((v, k) => [
    (steps[k] / Math.max(total - 1, 1)) * w,
    known(v) ? h - pad - ((v - low) / (high - low)) * (h - 2 * pad) : null,
  ]);
  const label = `${name}: target from ${low.toFixed(2)} to ${high.toFixed(2)} rad`;
  return svg("svg", { viewBox: `0 0 ${w} ${h}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, [
    svg("path", { class: "line target", d: path(place(target)) }),
    svg("path", { class: "line", d: path(place(position)) }),
  ]);
}
