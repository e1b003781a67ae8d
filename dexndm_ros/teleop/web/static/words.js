// SPDX-License-Identifier: Apache-2.0
// How the server's words are taken apart for the desktop and for the panel in the headset.

// A cure of several steps has them parted by ", then ".
export const steps = (cure) => (cure ? cure.split(", then ").map(sentence) : []);

export function sentence(text) {
  if (!text) return "";
  const whole = text[0].toUpperCase() + text.slice(1);
  return /[.?!]$/.test(whole) ? whole : `${whole}.`;
}
