# SPDX-License-Identifier: Apache-2.0
"""One analysis from its settings to its report: every part that the given datasets allow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.analyze import sections
from dexndm_ros.training.analyze.config import AnalyzeConfig, AnalyzeError
from dexndm_ros.training.analyze.corrections import measure_corrections
from dexndm_ros.training.analyze.histories import GROUPS, LEVELS, Histories, draw_halves
from dexndm_ros.training.analyze.neighbours import foretell, measure_gains
from dexndm_ros.training.analyze.overlap import embed, measure_overlap
from dexndm_ros.training.analyze.polynomials import inverse_of, measure_fits
from dexndm_ros.training.analyze.report import Section, write_report

__all__ = ["analyze", "steps_of"]

Halves = tuple[Histories, Histories]
Tick = Callable[[str], None]


def steps_of(config: AnalyzeConfig) -> int:
    """How often ``tick`` is called."""
    both = 2 * len(GROUPS) + 1 if config.other else 0
    return both + bool(config.residual) + 1 + JOINT_COUNT + 1


def analyze(config: AnalyzeConfig, tick: Tick) -> Path:
    """Measure everything and write report, numbers and figures.

    Args:
        config: settings.
        tick: called after each step with what was done.

    Returns:
        The page.

    Raises:
        AnalyzeError: data that do not suffice.
        DatasetError: no dataset.
        PolicySpecError: no residual policy.
    """
    folders = {f"data ({_name(config.data)})": config.data}
    if config.other:
        folders[f"other ({_name(config.other)})"] = config.other
    halves = {
        name: draw_halves(folder, config.window, config.windows, config.seed)
        for name, folder in folders.items()
    }
    out = config.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise AnalyzeError(f"{out} is a file; give a folder") from error
    found: list[Section] = []
    if config.residual:  # the fastest first: what is wrong with a file shows at once
        over = config.other or config.data
        found.append(sections.corrections(
            measure_corrections(config.residual, over, config.seed, config.windows), out
        ))  # fmt: skip
        tick("corrections")
    found.append(_smoothness(config, folders, tick))
    if config.other:
        found.append(_overlap(config, halves, tick))
    found.append(_neighbours(config, halves, tick))
    order = (sections.OVERLAP, sections.CORRECTIONS, sections.NEIGHBOURS, sections.SMOOTHNESS)
    found.sort(key=lambda section: order.index(section.title))
    return write_report(found, config)


def _name(folder: Path) -> str:
    return folder.resolve().name


def _overlap(config: AnalyzeConfig, halves: dict[str, Halves], tick: Tick) -> Section:
    names = list(halves)
    some = [tuple(half.first(config.compared) for half in each) for each in halves.values()]
    data, other = ((first, second) for first, second in some)
    measured = measure_overlap(data, other, config.seed, tick)
    # Of first and second halves alike: a picture of the whole of each dataset.
    shown = [each[1].first(config.shown) for each in (data, other)]
    planes = {}
    for name, joints in GROUPS.items():
        planes[name] = embed(shown[0], shown[1], joints, config.seed)
        tick(f"t-SNE, {name}")
    single = {name: planes[name] for name in LEVELS["joint"]}
    many = {name: planes[name] for level in ("finger", "hand") for name in LEVELS[level]}
    section = sections.overlap(measured, single, many, names, config.out)
    tick("figures")
    return section


def _neighbours(config: AnalyzeConfig, halves: dict[str, Halves], tick: Tick) -> Section:
    train = next(iter(halves.values()))[0]
    tests = {name: second for name, (_, second) in halves.items()}
    gains = measure_gains(train, tests)
    told = foretell(train, tests, config.seed, tick)
    section = sections.neighbours(gains, told, config.out)
    tick("gains")
    return section


def _smoothness(config: AnalyzeConfig, folders: dict[str, Path], tick: Tick) -> Section:
    inverse = None
    if config.free:
        size = (config.window, config.windows, config.seed)
        inverse = inverse_of(draw_halves(config.free, *size)[0])
    fits = {name: measure_fits(folder, config, inverse) for name, folder in folders.items()}
    section = sections.smoothness(fits, config.window, config.out)
    tick("polynomials")
    return section
