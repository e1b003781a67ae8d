# SPDX-License-Identifier: Apache-2.0
"""The page of a dataset's quality report: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from dexndm_ros.datasets.report_plots import Plot

__all__ = ["page", "verdict"]

_MOST_ROWS = 300
"""Most rows of a table on the page; the JSON holds them all."""
_OPEN_ROWS = 20

Numbers = dict[str, Any]


def page(name: str, numbers: Numbers, plots: Sequence[Plot]) -> str:
    """The whole page.

    Args:
        name: of the dataset.
        numbers: of :func:`~dexndm_ros.datasets.report_numbers.report_numbers`, as JSON has them: None for NaN.
        plots: pictures.
    """
    title = html.escape(name)
    return f"""<!doctype html>
<!-- SPDX-License-Identifier: Apache-2.0 -->
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: quality</title><style>{_STYLE}</style></head><body>
<h1>{title}</h1>
<p class="lead">{html.escape(verdict(numbers))}</p>
{_list(_sentences(numbers))}
<h2>Checks</h2>
{_checks(numbers)}
<h2>Dropped</h2>
{_rejected(numbers)}
{_missing("Bags that could not be converted", numbers["unreadable"])}
{_missing("Bags that were left out", numbers["left_out"])}
<h2>Flagged</h2>
{_flagged(numbers)}
<h2>Pictures</h2>
<div class="plots">{"".join(_figure(plot) for plot in plots)}</div>
<h2>Joints</h2>
{_joints(numbers)}
<h2>What is in it</h2>
{_groups(numbers)}
<h2>Rows that are not like the others</h2>
{_row_flags(numbers)}
<h2>Bags with something to say</h2>
{_bags(numbers)}
<p class="quiet">All numbers are in quality.json beside this page. Times are UTC. Converter:
{html.escape(numbers["totals"]["converter"])}; configuration {html.escape(numbers["totals"]["config_hash"][:12])}.</p>
</body></html>
"""


def verdict(numbers: Numbers) -> str:
    """How much there is, and how much of it is sound, in one sentence."""
    t = numbers["totals"]
    if not t["episodes"]:
        return (
            f"No episode is in this dataset; {_are(t['dropped'], 'was dropped', 'were dropped')}."
        )
    parts = [
        _are(t["flagged"], "is flagged", "are flagged"),
        _are(t["dropped"], "was dropped", "were dropped"),
    ]
    return (
        f"{t['episodes']:,} episodes, {t['rows']:,} transitions ({_hours(t['hours'])} at {t['rate_hz']} Hz); "
        + " and ".join(parts)
        + "."
    )


def _are(count: int, one: str, many: str) -> str:
    return f"none {one}" if not count else f"1 {one}" if count == 1 else f"{count:,} {many}"


def _sentences(numbers: Numbers) -> Iterable[str]:
    t, lag, period = numbers["totals"], numbers["lag"], numbers["period"]
    yield (
        f"From {t['bags']:,} bags ({_bytes(t['bytes'])}, {t['messages']:,} messages). "
        f"{numbers['loss']['lost']:,} messages are known to be missing."
    )
    for night in numbers["nights"][:3]:
        times = f"{_clock(night['began_ns'])} to {_clock(night['ended_ns'])} UTC"
        yield f"Recorded from {times}: {_some(night['episodes'], 'episode')}."
    if len(numbers["nights"]) > 3:
        yield f"And {len(numbers['nights']) - 3} more nights or runs."
    if t["rows"]:
        valid = _percent(t["valid"] / t["rows"])
        yield f"{valid} of the rows are valid. The others are in it, too, and say why they are not."
    worst = max(numbers["joints"], key=lambda joint: joint["error_rms_rad"] or 0.0)
    if worst["error_rms_rad"]:
        yield (
            f"{worst['joint']} follows its target least: {worst['error_rms_rad']:.3f} rad root mean square, "
            f"99 % within {worst['error_p99_rad']:.3f} rad."
        )
    if lag["lag_ticks"] is not None:
        said = (
            "as it should be"
            if 0.5 <= lag["lag_ticks"] <= 2.5
            else "1 to 2 are expected: check the alignment"
        )
        yield f"The joints answer {lag['lag_ticks']:.1f} ticks after their targets ({said})."
    if period["ticks"]:
        yield (
            f"The control period is {period['median_ms']:.2f} ms (median), 98 % from {period['p1_ms']:.2f} to "
            f"{period['p99_ms']:.2f} ms; the longest was {period['max_ms']:.1f} ms."
        )  # fmt: skip
    if numbers["noise"]["share_of_rows"]:
        yield (
            f"Noise was added in {_percent(numbers['noise']['share_of_rows'])} of the rows, "
            f"sigma {numbers['noise']['sigma_rad']:.4f} rad."
        )
    if numbers["residual_rms_rad"]:
        yield f"The residual's corrections are {numbers['residual_rms_rad']:.4f} rad root mean square."
    narrow = [
        j["joint"]
        for j in numbers["joints"]
        if j["range_share"] is not None and j["range_share"] < 0.15
    ]
    if narrow:
        yield f"Hardly explored (targets span under 15 % of the range): {', '.join(narrow)}."
    reached = [v["reached"] for v in numbers["histories"]["views"] if v["reached"] is not None]
    if reached:
        joints = reached[:16]
        yield (
            f"Joint by joint, {_percent(sum(joints) / len(joints))} of the policy's histories have a collected one "
            f"nearby; of the whole hand's {_percent(reached[-1])}."
        )


# --- tables ---------------------------------------------------------------------------------------------


def _checks(numbers: Numbers) -> str:
    """What found something first; the others below, folded."""
    rows = [row for row in numbers["checks"] if row["episodes"] or row["bags"]]
    rows.sort(key=lambda row: [-row[name] for name in ("dropped", "flagged", "repaired", "count")])
    quiet = [row for row in numbers["checks"] if row not in rows]
    text = "<p>No check found anything.</p>"
    if rows:
        cells = "".join(_check(row) for row in rows)
        heads = "<tr><th>check</th><th>found</th><th>for example</th></tr>"
        text = f'<div class="wide"><table class="checks">{heads}{cells}</table></div>'
    if quiet:
        names = "".join(
            f"<li><b>{_e(row['title'])}</b>: {_e(row['meaning'])}</li>" for row in quiet
        )
        text += f"<details><summary>{len(quiet)} checks found nothing</summary><ul>{names}</ul></details>"
    return text


def _check(row: Numbers) -> str:
    """A row of the table: what it looks for below its name, what was done below how often."""
    places = [_some(row["episodes"], "episode"), _some(row["bags"], "bag")]
    found = f"{_some(row['count'], 'time')} in {' and '.join(place for place in places if place)}"
    actions = ("dropped", "flagged", "repaired", "noted")
    done = ", ".join(f"{row[name]:,} {name}" for name in actions if row[name])
    return (
        f"<tr><td><b>{_e(row['title'])}</b><small>{_e(row['meaning'])}: {_e(row['rule'])}</small></td>"
        f"<td><b>{_e(done)}</b><small>{_e(found)}</small></td><td>{_e(row['example'])}</td></tr>"
    )


def _rejected(numbers: Numbers) -> str:
    rows = numbers["rejected"]
    if not rows:
        return "<p>No episode was dropped.</p>"
    table = _table(
        ("episode", "bag", "why"),
        ((row["identity"], row["bag"], "\n".join(row["reasons"])) for row in rows[:_MOST_ROWS]),
    )
    return _folded(table + _more(len(rows)), len(rows))


def _missing(title: str, rows: Sequence[Numbers]) -> str:
    """Bags that nothing was taken of."""
    if not rows:
        return ""
    cells = ((row["bag"], row["campaign"], row["reason"]) for row in rows[:_MOST_ROWS])
    table = _table(("bag", "campaign", "why"), cells)
    return f"<h2>{title}</h2>" + _folded(table + _more(len(rows)), len(rows))


def _flagged(numbers: Numbers) -> str:
    of_each = numbers["episodes"]
    flagged = [k for k, word in enumerate(of_each["verdict"]) if word == "flag"]
    if not flagged:
        return "<p>No episode is flagged.</p>"
    table = _table(
        ("number", "episode", "bag", "why"),
        (
            (k, of_each["identity"][k], of_each["bag"][k], "\n".join(of_each["why"][k]))
            for k in flagged[:_MOST_ROWS]
        ),
    )
    return _folded(table + _more(len(flagged)), len(flagged))


def _joints(numbers: Numbers) -> str:
    return _table(
        ("joint", "targets from to, rad", "of its range", "error rms, rad", "99 %", "lag, ticks", "mean current, mA",
         "largest, mA", "hottest, °C"),
        (
            (
                joint["joint"],
                f"{_number(joint['target_low_rad'], 2)} to {_number(joint['target_high_rad'], 2)}",
                _percent(joint["range_share"]),
                _number(joint["error_rms_rad"], 4),
                _number(joint["error_p99_rad"], 3),
                _number(joint["lag_ticks"], 1),
                _number(joint["current_mean_a"], 0, 1000.0),
                _number(joint["current_max_a"], 0, 1000.0),
                _number(joint["temperature_max_c"], 0),
            )
            for joint in numbers["joints"]
        ),
    )  # fmt: skip


def _groups(numbers: Numbers) -> str:
    return _table(
        ("kind", "campaign", "orientation", "episodes", "rows", "flagged", "trajectories", "one at most"),
        (
            (
                row["kind"], row["campaign"] or "-", row["orientation"] or "not told", f"{row['episodes']:,}",
                f"{row['rows']:,}", row["flagged"], row["trajectories"], _some(row["most_often"], "time"),
            )
            for row in numbers["groups"][:_MOST_ROWS]
        ),
    ) + _more(len(numbers["groups"]))  # fmt: skip


def _row_flags(numbers: Numbers) -> str:
    rows, total = [row for row in numbers["row_flags"] if row["rows"]], numbers["totals"]["rows"]
    if not rows:
        return "<p>No row carries a flag.</p>"
    return _table(
        ("flag", "meaning", "rows", "share", "may be used"),
        (
            (row["flag"], row["text"], f"{row['rows']:,}", _percent(row["rows"] / total),
             "no" if row["invalid"] else "yes")
            for row in rows
        ),
    )  # fmt: skip


def _bags(numbers: Numbers) -> str:
    rows = [bag for bag in numbers["bags"] if bag["findings"]]
    if not rows:
        return "<p>None.</p>"
    return _table(
        ("bag", "findings"),
        ((bag["name"], "\n".join(bag["findings"])) for bag in rows[:_MOST_ROWS]),
    ) + _more(len(rows))


# --- small parts ----------------------------------------------------------------------------------------


def _figure(plot: Plot) -> str:
    title = _e(plot.title)
    return (
        f'<figure{" class=whole" if plot.wide else ""}><figcaption>{title}</figcaption><div class="scroll">'
        f'<img alt="{title}" src="data:image/svg+xml;base64,{base64.b64encode(plot.svg).decode()}"></div>'
        f'<p class="quiet">{_e(plot.note)}</p></figure>'
    )


def _table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{_e(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{_e(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _folded(table: str, rows: int) -> str:
    """A long table is opened by who wants to read it: the pictures are below."""
    if rows <= _OPEN_ROWS:
        return table
    return f"<details><summary>{rows:,} rows</summary>{table}</details>"


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_e(text)}</li>" for text in sentences) + "</ul>"


def _more(count: int) -> str:
    left = count - _MOST_ROWS
    return f'<p class="quiet">{left:,} more are in quality.json.</p>' if left > 0 else ""


def _e(value: object) -> str:
    return html.escape(str(value))


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}" if count else ""


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    digits = 0 if share in (0.0, 1.0) else 1 if 0.001 <= share <= 0.999 else 3
    return f"{100.0 * share:.{digits}f} %"


def _number(value: float | None, digits: int, scale: float = 1.0) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value * scale:.{digits}f}"


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1.0 else f"{60.0 * hours:.1f} min"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.2f} MB"


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")


_STYLE = """
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #22201c; background: #f4f2ee;
  max-width: 1120px; margin: 0 auto; padding: 28px 18px 60px; overflow-wrap: break-word; }
h1 { margin: 0 0 4px; }
h1::before { content: ""; display: inline-block; width: .6em; height: .6em; border-radius: .15em;
  background: #d9661f; margin-right: .45em; }
h2 { margin: 34px 0 8px; font-size: 1.1rem; }
.lead { font-size: 1.25rem; font-weight: 600; margin: 0 0 8px; }
.quiet { color: #6c675f; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); gap: 14px; }
figure { margin: 0; background: #fff; border: 1px solid #e3dfd7; border-radius: 12px; padding: 12px; min-width: 0; }
figure.whole { grid-column: 1 / -1; }
figure.whole img { min-width: 680px; }
figure p { margin: 6px 0 0; font-size: .85rem; }
figcaption { font-weight: 600; margin-bottom: 6px; }
.scroll { overflow-x: auto; }
img { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; background: #fff; border: 1px solid #e3dfd7; border-radius: 12px; }
table { border-collapse: collapse; width: 100%; min-width: 600px; font-size: .88rem; }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid #eee9e1; vertical-align: top;
  white-space: pre-line; overflow-wrap: normal; }
th { color: #6c675f; font-weight: 600; }
table.checks td { overflow-wrap: anywhere; }
table.checks td:first-child { width: 36%; }
table.checks td:nth-child(2) { width: 17%; overflow-wrap: normal; }
small { display: block; color: #6c675f; font-size: .85em; }
summary { cursor: pointer; margin-top: 8px; color: #6c675f; }
"""
