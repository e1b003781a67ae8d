# SPDX-License-Identifier: Apache-2.0
"""The report of a campaign: one HTML file that needs nothing else, and its numbers as JSON."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dexndm_ros.dashboard.report_numbers import campaign_numbers
from dexndm_ros.dashboard.report_plots import report_plots
from dexndm_ros.dashboard.words import duration, json_ready
from dexndm_ros.replay.ledger import Ledger, LedgerError

__all__ = ["ReportError", "write_report"]

LEDGER_FILE = "campaign.sqlite"
REPORT_FILE = "report.html"
NUMBERS_FILE = "report.json"
_MOST_ROWS = 300
"""Most rows of a table on the page; the JSON holds them all."""


class ReportError(RuntimeError):
    """No report can be written; the message says why and what mends it."""


def write_report(directory: str | Path) -> Path:
    """Write ``report.html`` and ``report.json`` into a campaign's folder, also while it runs.

    Args:
        directory: the campaign's folder.

    Returns:
        path of the page.

    Raises:
        ReportError: no ledger there, no matplotlib, or no room.
    """
    folder = Path(directory).expanduser()
    try:
        with Ledger.read_only(folder / LEDGER_FILE) as ledger:
            numbers = campaign_numbers(ledger, folder.absolute())
        plots = list(report_plots(numbers))
        numbers = json_ready(numbers, digits=6)
        _write(folder / NUMBERS_FILE, json.dumps(numbers, indent=1, allow_nan=False) + "\n")
        _write(folder / REPORT_FILE, _page(numbers, plots))
    except LedgerError as error:
        raise ReportError(str(error)) from error
    except ImportError as error:
        raise ReportError(f"no plots ({error}); pip install matplotlib") from error
    except OSError as error:
        raise ReportError(
            f"{folder} cannot be written ({error.strerror}); make room, or mend its rights"
        ) from error
    return folder / REPORT_FILE


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


# --- the page -----------------------------------------------------------------------------------------


def _page(numbers: dict[str, Any], plots: Iterable[tuple[str, bytes]]) -> str:
    identity = numbers["identity"]
    name = html.escape(identity["campaign"])
    figures = "".join(
        f'<figure><figcaption>{html.escape(title)}</figcaption><img alt="{html.escape(title)}" '
        f'src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"></figure>'
        for title, svg in plots
    )
    missing = numbers["coverage"].get("missing")
    return f"""<!doctype html>
<!-- SPDX-License-Identifier: Apache-2.0 -->
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name}: report</title><style>{_STYLE}</style></head><body>
<h1>{name}</h1>
<p class="lead">{html.escape(_verdict(numbers))}</p>
{_list(_sentences(numbers))}
{f"<p>No picture of the coverage: {html.escape(missing)}.</p>" if missing else ""}
<div class="plots">{figures}</div>
{_rejected(numbers)}
{_reasons(numbers)}
{_events(numbers)}
<h2>Which campaign</h2>
{_table(("what", "value"), ((key.replace("_", " "), value) for key, value in identity.items()))}
<p class="quiet">All numbers are in {NUMBERS_FILE} beside this page. Times are of this machine's clock.</p>
</body></html>
"""


def _verdict(numbers: dict[str, Any]) -> str:
    counts = numbers["counts"]
    done = f"{counts['done']} of {counts['total']} trajectories are done"
    rejected = f", {counts['rejected']} rejected for good" if counts["rejected"] else ""
    left = f"; {counts['to_do']} are still to do" if counts["to_do"] else ""
    return f"{done}{rejected}{left}."


def _sentences(numbers: dict[str, Any]) -> Iterable[str]:
    time, counts, losses = numbers["time"], numbers["counts"], numbers["losses"]
    error, rows = numbers["period_error"], numbers["trajectories"]
    if counts["attempts"]:
        yield (
            f"From {_clock(time['began_ns'])} to {_clock(time['ended_ns'])}: {duration(time['span_s'])}, "
            f"{_number(time['rate_per_h'], 3)} trajectories an hour."
        )
    if time["duty_cycle"] is not None:
        yield f"The hand replayed {100.0 * time['duty_cycle']:.2f} % of the time meant for it (duty cycle)."
    yield (
        f"{counts['attempts']} attempts: {counts['attempts_rejected']} were rejected, "
        f"{counts['attempts_interrupted']} interrupted. Faults met: {numbers['faults']}."
    )
    yield (
        f"{losses['messages']} messages are in the bags; {losses['lost']} were lost and {losses['dropped']} dropped."
    )
    if error["ticks"]:
        yield (
            f"Of {error['ticks']} ticks, 99 % kept the 50 ms period within {error['p99_ms']:.2f} ms; the worst was "
            f"{error['max_ms']:.2f} ms off. {losses['missed_ticks']} ticks were missed."
        )
    size, hottest = _known(rows["bytes"]), _known(rows["temperature_max_c"])
    if size:
        yield (
            f"A trajectory takes {_bytes(float(np.mean(size)))} on disk and "
            f"{np.median(_known(rows['duration_s'])):.2f} s; all take {_bytes(sum(size))}."
        )
    if hottest:
        yield f"The hottest motor was at {max(hottest):.0f} °C."


def _rejected(numbers: dict[str, Any]) -> str:
    rows = numbers["rejected"]
    if not rows:
        return "<h2>Rejected</h2><p>No attempt was rejected.</p>"
    table = _table(
        ("row", "trajectory", "what became of it", "why", "what was put aside"),
        (
            (r["entry"], r["trajectory"], r["state"], "\n".join(r["reasons"]), r["bag"])
            for r in rows[:_MOST_ROWS]
        ),
    )
    return f"<h2>Rejected</h2>{table}{_more(len(rows))}"


def _reasons(numbers: dict[str, Any]) -> str:
    if not numbers["reasons"]:
        return ""
    rows = ((count, reason) for reason, count in numbers["reasons"].items())
    return f"<h2>Why attempts ended early</h2>{_table(('times', 'reason'), rows)}"


def _events(numbers: dict[str, Any]) -> str:
    rows = numbers["events"]
    if not rows:
        return ""
    table = _table(
        ("when", "kind", "what"),
        ((_clock(row["time_ns"]), row["kind"], row["text"]) for row in rows[-_MOST_ROWS:]),
    )
    return f"<h2>What happened</h2>{table}{_more(len(rows))}"


def _more(count: int) -> str:
    left = count - _MOST_ROWS
    return f'<p class="quiet">{left} more are in {NUMBERS_FILE}.</p>' if left > 0 else ""


def _table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    head = "".join(f"<th>{html.escape(text)}</th>" for text in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in sentences) + "</ul>"


def _clock(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _number(value: float | None, digits: int) -> str:
    return f"{value:.{digits}g}" if value is not None else "an unknown number of"


def _bytes(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.2f} MB"


def _known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


_STYLE = """
body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #22201c; background: #f4f2ee;
  max-width: 1120px; margin: 0 auto; padding: 28px 18px 60px; }
h1 { margin: 0 0 4px; }
h1::before { content: ""; display: inline-block; width: .6em; height: .6em; border-radius: .15em;
  background: #d9661f; margin-right: .45em; }
h2 { margin: 34px 0 8px; font-size: 1.1rem; }
.lead { font-size: 1.25rem; font-weight: 600; margin: 0 0 8px; }
.quiet { color: #6c675f; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr));
  gap: 14px; margin-top: 22px; }
figure { margin: 0; background: #fff; border: 1px solid #e3dfd7; border-radius: 12px; padding: 12px; }
figcaption { font-weight: 600; margin-bottom: 6px; }
img { width: 100%; height: auto; display: block; }
.wide { overflow-x: auto; background: #fff; border: 1px solid #e3dfd7; border-radius: 12px; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; padding: 6px 10px; border-bottom: 1px solid #eee9e1; vertical-align: top;
  white-space: pre-line; }
th { color: #6c675f; font-weight: 600; }
"""
