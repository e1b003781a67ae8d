// SPDX-License-Identifier: Apache-2.0
// Numbers and times as a person reads them. null = not known.

export const known = (value) => typeof value === "number" && Number.isFinite(value);

export function fixed(value, digits = 0, unit = "") {
  return known(value) ? value.toFixed(digits) + (unit && `\u202f${unit}`) : "–";
}

export function count(value) {
  return known(value) ? Math.round(value).toLocaleString("en").replaceAll(",", "\u202f") : "–";
}

export function percent(value) {
  if (!known(value)) return "–";
  const text = (100 * value).toFixed(1);
  // 99.96 % is not all: a rounded-up 100 would hide it.
  return `${text === "100.0" && value < 1 ? "99.9" : text}\u202f%`;
}

export function duration(seconds) {
  if (!known(seconds)) return "–";
  if (seconds < 90) return `${Math.round(seconds)}\u202fs`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `${minutes}\u202fmin`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours}\u202fh ${minutes % 60}\u202fmin`;
  return `${Math.round(hours / 24)}\u202fdays`;
}

export function bytes(value) {
  if (!known(value)) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let k = 0;
  while (value >= 999.5 && k < units.length - 1) { value /= 1000; k += 1; }
  return `${value < 10 && k > 0 ? value.toFixed(1) : Math.round(value)}\u202f${units[k]}`;
}

export function clock(date) {
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const day = date.toDateString() === new Date().toDateString()
    ? "" : date.toLocaleDateString("en-GB", { weekday: "short" }) + " ";
  return day + time;
}

export const words = (joint) => joint.replaceAll("_", " ");
