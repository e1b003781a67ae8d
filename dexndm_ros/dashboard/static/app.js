// SPDX-License-Identifier: Apache-2.0
// Shows the snapshots that the server streams; sends an action when a button is pressed.

import { jointPlot, sparkline } from "./charts.js";
import { bytes, clock, count, duration, fixed, known, percent, words } from "./format.js";
import { HandPicture, heat, power } from "./hand.js";

const LOST_S = 3;
const AGAIN_MS = 3000;
const EVENTS = 8;           // shown at once; the older ones on request
const ACTIONS = ["start", "pause", "resume", "stop"];
const $ = (id) => document.getElementById(id);

const parts = {};           // newest of each section of the snapshot
let heardAt = null;         // when the newest came, ms
let pictures = null;
let pending = "";           // action that waits for its answer
let note = "";

// --- the token: from the address to this tab's memory, never into a request's address ---------------

function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem("token", given);
    history.replaceState(null, "", location.pathname);
  }
}
const token = () => sessionStorage.getItem("token") ?? "";

// --- small helpers ----------------------------------------------------------------------------------

function text(id, value) {
  const element = $(id);
  if (element.textContent !== value) element.textContent = value;
}

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// Builds a part of the page anew only when what it shows has changed.
const shown = {};
function once(key, value, build) {
  const now = JSON.stringify(value);
  if (shown[key] !== now) { shown[key] = now; build(value); }
}

// --- the parts of the page --------------------------------------------------------------------------

function showState({ state, campaign }) {
  $("state").dataset.tone = state.tone;
  text("state-title", state.title);
  text("state-detail", state.detail);
  text("state-cure", state.cure);
  $("state-cure").hidden = !state.cure;
  text("campaign", campaign ? `${campaign.name} in ${campaign.directory}` : "");
  document.title = campaign ? `${state.title}: ${campaign.done}/${campaign.total} · Chaos Box` : "Chaos Box";
}

function showProgress({ campaign }, scale) {
  const c = campaign ?? { done: 0, rejected: 0, total: 0 };
  const share = (n) => (c.total > 0 ? Math.min(n / c.total, 1) : 0);
  $("bar-done").style.width = `${100 * share(c.done)}%`;
  $("bar-rejected").style.width = `${100 * share(c.rejected)}%`;
  $("bar").setAttribute("aria-valuemax", c.total || 1);
  $("bar").setAttribute("aria-valuenow", c.done);
  text("progress-text", campaign ? `${count(c.done)} of ${count(c.total)} trajectories, ${percent(share(c.done))}` : "Nothing planned yet.");
  text("eta", duration(c.eta_s));
  text("eta-clock", known(c.eta_s) ? `until ${clock(new Date(Date.now() + 1000 * c.eta_s))}` : "");
  text("rate", fixed(c.rate_per_h, 0));
  text("duty", percent(c.duty_cycle));
  text("rejected", campaign ? count(c.rejected) : "–");
  text("fault-count", campaign ? `${count(c.faults)} fault${c.faults === 1 ? "" : "s"} met` : "");
  const running = Boolean(c.running);
  $("step-bar").hidden = !running;
  $("step-bar").setAttribute("aria-valuenow", running ? c.step : 0);
  $("step-done").style.width = running ? `${(100 * Math.min(c.step + 1, scale.steps)) / scale.steps}%` : "0";
  text("step-text", running ? `Trajectory ${c.trajectory}: step ${c.step + 1} of ${scale.steps}; row ${c.entry} of the plan, attempt ${c.attempt}` : "");
}

function showHand({ hand }, scale) {
  pictures ??= {
    temperature: new HandPicture($("temperature"), scale.joints, heat(scale.warm_c, scale.hot_c), (v) => v.toFixed(0), "°C"),
    current: new HandPicture($("current"), scale.joints, power(scale.full_current_a), (v) => (1000 * v).toFixed(0), "mA"),
  };
  const nothing = scale.joints.map(() => null);
  const bad = {};
  (hand?.errors ?? []).forEach((error, k) => { if (error) bad[k] = error; });
  for (const k of hand?.not_responding ?? []) bad[k] = "does not answer";
  text("temperature-text", pictures.temperature.update(hand?.temperature_c ?? nothing, bad));
  const bus = hand ? ` Hand: ${hand.mode}; bus ${fixed(hand.bus_hz, 0, "Hz")}, ${count(hand.lost_reads)} replies lost.` : "";
  text("current-text", pictures.current.update(hand?.current_a ?? nothing, bad) + bus);
}

function showRecorder({ recorder }) {
  const r = recorder ?? {};
  text("recorder-text", !recorder ? "Not heard yet."
    : r.reason ? r.reason : r.episode ? `Recording ${r.episode}` : r.ready ? "Ready" : "Not ready");
  text("lost-messages", count(r.lost));
  text("dropped", count(r.dropped));
  text("behind", fixed(r.behind_s, 1, "s"));
  text("queue", recorder ? `${count(r.queue)} waiting` : "");
  text("free", bytes(r.free_bytes));
  const size = known(r.episode_bytes) ? `${bytes(r.episode_bytes)} a trajectory` : "";
  text("free-hours", [known(r.free_hours) ? `for ${duration(3600 * r.free_hours)}` : "", size].filter(Boolean).join("; "));
}

function showAlerts(now) {
  for (const [section, list, rows] of [["faults", "fault-list", now.faults], ["warnings", "warning-list", now.warnings]]) {
    $(section).hidden = !rows.length;
    once(list, rows, () => $(list).replaceChildren(...rows.map((row) => element("li", "",
      element("span", "", row.text), " ", element("span", "source", row.source + (row.more ? `, and ${row.more} more like it` : "")),
      ...(row.cure ? [element("div", "cure", row.cure)] : [])))));
  }
}

function showEvents(now) {
  const begin = heardAt - 1000 * now.t;
  once("events", now.events, () => {
    const rows = now.events.map((event) => {
      const when = element("time", "", clock(new Date(begin + 1000 * event.t)));
      const dot = element("span", "dot");
      dot.dataset.tone = event.tone;
      return element("li", "", when, dot, element("span", "", event.text));
    });
    $("event-list").replaceChildren(...rows.slice(0, EVENTS));
    $("older-list").replaceChildren(...rows.slice(EVENTS));
    $("older").hidden = rows.length <= EVENTS;
  });
}

const SERIES = [
  ["temperature_c", "Hottest motor", 5, (v) => fixed(v, 0, "°C")],
  ["current_a", "Mean current", 0.05, (v) => fixed(known(v) ? 1000 * v : null, 0, "mA")],
  ["rate_per_h", "Rate", 20, (v) => fixed(v, 0, "/h")],
  ["duty_cycle", "Duty cycle", 0.02, percent],
];

function showHistory(history) {
  once("history", history, () => $("history").replaceChildren(...SERIES.map(([key, name, least, show]) => {
    const points = history[key] ?? [];
    const values = points.map((p) => p[1]);
    const last = values.length ? values[values.length - 1] : null;
    const label = values.length
      ? `${name}: now ${show(last)}, lowest ${show(Math.min(...values))}, highest ${show(Math.max(...values))}`
      : `${name}: nothing yet`;
    return element("div", "spark", element("span", "quiet", name), sparkline(points, least, label), element("b", "", show(last)));
  })));
}

function showPlot(plot, scale) {
  once("plot", plot, () => {
    if (!plot) return;
    const key = (kind) => element("span", `key ${kind}`);
    $("plot-text").replaceChildren(
      `Trajectory ${plot.trajectory}, row ${plot.entry} of the plan, attempt ${plot.attempt}. `,
      key("target"), " target ", key("position"), " measured, rad");
    // One row a kind of joint from the palm outwards, one column a finger; four motors a finger, the thumb last.
    const order = [[1, 5, 9, 12], [0, 4, 8, 13], [2, 6, 10, 14], [3, 7, 11, 15]].flat();
    const heads = order.slice(0, 4).map((k) => element("b", "quiet small", words(scale.joints[k]).split(" ")[0]));
    $("plot").replaceChildren(...heads, ...order.map((k) => {
      const name = words(scale.joints[k]);
      const values = plot.target[k].filter(known);
      const span = values.length ? `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}` : "";
      return element("figure", "", jointPlot(name, plot.steps, plot.target[k], plot.position[k], scale.steps),
        element("figcaption", "", element("span", "", name.split(" ").slice(1).join(" ")), element("span", "", span)));
    }));
  });
}

function showControls(now) {
  const allowed = Boolean(token());
  const lost = isLost();
  for (const name of ACTIONS) {
    const why = !allowed ? "needs the token" : pending === name ? "waits for the answer" : lost && name !== "stop" ? "no connection" : now?.actions[name] ?? "";
    const button = $(name);
    button.disabled = Boolean(why);
    button.title = why;
  }
  text("control-note", note || (allowed ? ""
    : "Read-only. To control the hand, open the address that holds the token: it is in the log and in dashboard.url."));
}

// --- connection -------------------------------------------------------------------------------------

const ageS = () => (heardAt === null ? null : (Date.now() - heardAt) / 1000);
const isLost = () => heardAt === null || ageS() > LOST_S;

function showConnection() {
  const lost = isLost() && performance.now() > 1000 * LOST_S;
  $("lost").hidden = !lost;
  $("content").classList.toggle("stale", lost);
  text("lost-age", heardAt === null ? "Nothing has come yet." : `What you see is ${duration(ageS())} old.`);
  showControls(parts.now);
}

function show() {
  const { now, history, trajectory, scale } = parts;
  if (!now || !scale) return;
  showState(now);
  showProgress(now, scale);
  showHand(now, scale);
  showRecorder(now);
  showAlerts(now);
  showEvents(now);
  showHistory(history);
  showPlot(trajectory, scale);
  showConnection();
}

function connect() {
  const source = new EventSource("/api/stream");
  source.onmessage = (event) => {
    Object.assign(parts, JSON.parse(event.data));
    heardAt = Date.now();
    show();
  };
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS);
  };
}

async function act(name) {
  pending = name;
  note = "";
  showControls(parts.now);
  try {
    const answer = await fetch(`/api/replay/${name}`, { method: "POST", headers: { Authorization: `Bearer ${token()}` } });
    const { ok, message } = await answer.json();
    note = ok ? message || `${name}: done` : `Not done: ${message}`;
    if (answer.status === 401) sessionStorage.removeItem("token");
  } catch {
    note = "Not done: the dashboard does not answer";
  }
  pending = "";
  showControls(parts.now);
}

takeToken();
for (const name of ACTIONS) $(name).addEventListener("click", () => act(name));
addEventListener("hashchange", () => { takeToken(); showControls(parts.now); });
setInterval(showConnection, 500);
showControls();
connect();
