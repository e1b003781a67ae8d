# SPDX-License-Identifier: Apache-2.0
"""What the loop consists of: eight stages, each a few `dexndm` commands, what they make and what they need.

Pure: nothing is run or read here. Every step is a command line of this package, as a person would type it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.loop.settings import SIZES, Half, Settings, halves

__all__ = ["CHOSEN", "INVERSE", "RESIDUAL", "STAGES", "WRISTS", "Step", "plan"]

STAGES = (
    "rollouts",
    "Chaos Box",
    "convert",
    "identification",
    "dynamics",
    "residual",
    "policy",
    "evaluation",
)
"""Their names; a step's ``stage`` counts from 1."""
WRISTS = ("palm_up", "palm_down")
"""Under which data are collected, rollouts made and the policy is evaluated."""
NOMINAL = "nominal"
BASE = "cylinder_z"
LIBRARY = "cylinder_z"
"""That of the campaigns ``palm_up`` and ``palm_down``, and of ``dexndm rollouts replay``."""
INVERSE = Path("policy") / "inverse" / "inverse.onnx"
RESIDUAL = Path("policy") / "residual" / "residual.onnx"
"""Where the corrections come to lie, the card of each beside it."""
CHOSEN = Path("policy") / "chosen.onnx"
"""The file that is to run: one of these, or one that runs the base alone."""
_WITH_WARNINGS = (0, 1)
"""`dexndm convert` ends with 1 where a bag has something to say; the dataset is there."""


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: of its log and its record.
        stage: 1 to 8.
        text: what it does, for the person who waits.
        commands: words after `dexndm`; where the first fails, the next one goes on with what is there.
        makes: file that is there when it is done.
        needs: names of the steps whose results it reads.
        about_s: how long it takes on two cores, s.
        done: exit statuses that mean so.
        with_residual: senseless where the residual is refused.
    """

    name: str
    stage: int
    text: str
    commands: tuple[tuple[str, ...], ...]
    makes: Path
    needs: tuple[str, ...] = ()
    about_s: float = 10.0
    done: tuple[int, ...] = (0,)
    with_residual: bool = False

    @property
    def folder(self) -> Path | None:
        """What all of its result lies in; None = it is a file alone."""
        words = self.commands[0]
        out = Path(words[words.index("--out") + 1]) if "--out" in words else self.makes
        return None if out == self.makes else out


def plan(settings: Settings) -> tuple[Step, ...]:
    """All steps, in an order in which each finds what it needs."""
    return (
        *_rollouts(settings),
        *_chaos_box(settings),
        *_convert(settings),
        _identification(settings),
        *_dynamics(settings),
        _residual(settings),
        *_policy(settings),
        *_evaluation(settings),
    )


def _rollouts(settings: Settings) -> tuple[Step, ...]:
    """Simulated data; the nominal night is the campaigns of stage 2, target by target, in the nominal world."""
    size = SIZES[settings.size]

    def step(
        name: str, text: str, episodes: int, job: str, about_s: float, *more: str, seed: int = settings.seed
    ) -> Step:  # fmt: skip
        folder = settings.out / name
        words = (
            "rollouts", job, "--out", str(folder), "--episodes", str(episodes), "--wrist", ",".join(WRISTS),
            "--seed", str(seed), "--no-report", *more,
        )  # fmt: skip
        return Step(name, 1, text, (words,), folder / "meta" / "info.json", about_s=about_s)

    def replays(half: Half) -> Step:
        return step(
            f"replays_{half.name}", f"trajectories of a {half.name} hand in the nominal world", size.replays, "replay",
            5 + 0.15 * size.replays, "--world", NOMINAL, *half.random, seed=half.seed,
        )  # fmt: skip

    def nominal_night(half: Half) -> Step:
        return step(
            f"nominal_night_{half.name}", f"the campaigns of the {half.name} hand in the nominal world", size.night,
            "replay", 10 + half.replay_s * size.night, "--world", NOMINAL, *half.box, seed=half.seed,
        )  # fmt: skip

    return (
        step("rollouts", "the base policy turns objects in the nominal world", size.rollouts, "policy",
             10 + 0.6 * size.rollouts, "--world", NOMINAL, "--policy", BASE, "--survivors-only"),
        *map(replays, halves(settings)),
        *map(nominal_night, halves(settings)),
        step("task", f"the base policy in {settings.world}, to test the dynamics on", size.task, "policy",
             10 + 0.6 * size.task, "--world", settings.world, "--policy", BASE),
    )  # fmt: skip


def _chaos_box(settings: Settings) -> tuple[Step, ...]:
    """Through the ROS graph; a machine that does not keep up gets more time, with what it has collected."""
    size = SIZES[settings.size]

    def step(half: Half, wrist: str) -> Step:
        folder = _campaign(settings, half, wrist)
        words = (
            "collect", "--campaign", wrist, "--out", str(folder), "--trajectories", str(size.night),
            "--world", settings.world, "--load", half.load, "--seed", str(half.seed), "--headless",
        )  # fmt: skip
        return Step(
            f"collect_{wrist}_{half.name}",
            2,
            f"{size.night} trajectories of 20 s, {wrist}, {half.load}, at {size.speeds[0]:g} times real time",
            tuple((*words, "--speed", f"{speed:g}") for speed in size.speeds),
            folder / "campaign.sqlite",
            about_s=10 + 21.0 * size.night / size.speeds[0],
        )

    return tuple(step(half, wrist) for half in halves(settings) for wrist in WRISTS)


def _campaign(settings: Settings, half: Half, wrist: str) -> Path:
    return settings.out / "chaos_box" / f"{wrist}_{half.name}"


def _convert(settings: Settings) -> tuple[Step, ...]:
    """The whole night for the dynamics, and its free half once more for the identification, which knows no load."""

    def step(name: str, text: str, folder: str, chosen: tuple[Half, ...]) -> Step:
        each = [(half, wrist) for half in chosen for wrist in WRISTS]
        campaigns = [str(_campaign(settings, half, wrist)) for half, wrist in each]
        out = settings.out / folder
        return Step(
            name,
            3,
            text,
            (("convert", *campaigns, "--out", str(out)),),
            out / "meta" / "info.json",
            tuple(f"collect_{wrist}_{half.name}" for half, wrist in each),
            about_s=4 + 2.5 * len(each),
            done=_WITH_WARNINGS,
        )

    both = halves(settings)
    return (
        step("convert", "bags become a dataset, with a quality report", "night", both),
        step(
            "convert_free", "those of the free hand alone, to identify it", "night_free", both[1:]
        ),
    )


def _identification(settings: Settings) -> Step:
    size, out = SIZES[settings.size], settings.out / "sysid"
    words = (
        "sysid", "fit", "--out", str(out), "--data", str(settings.out / "night_free"), "--world", NOMINAL, *size.fit,
        "--seed", str(settings.seed),
    )  # fmt: skip
    text = "gains, friction, play, offsets and delay of the free hand, as a world file"
    # The report is the last that it writes.
    return Step("sysid", 4, text, (words,), out / "report.html", ("convert_free",), size.fit_s)


def _dynamics(settings: Settings) -> tuple[Step, ...]:
    size = SIZES[settings.size]
    replays = tuple(f"replays_{half.name}" for half in halves(settings))
    nominal_night = tuple(f"nominal_night_{half.name}" for half in halves(settings))

    def step(
        name: str, text: str, data: tuple[str, ...], count: int, epochs: int, test: bool, init: str
    ) -> Step:
        out = settings.out / "dynamics" / name
        needs = (*data, *(("task",) if test else ()), *((init,) if init else ()))
        words = ["train", "dynamics", "--out", str(out), "--data"]
        words += [str(settings.out / each) for each in data]
        words += ["--test", str(settings.out / "task")] if test else []
        words += ["--init", str(settings.out / "dynamics" / init)] if init else []
        words += ["--epochs", str(epochs), "--batch", "1024", "--seed", str(settings.seed)]
        reads = tuple("convert" if need == "night" else need for need in needs)
        about_s = 8 + len(WRISTS) * count * epochs / 170
        return Step(name, 5, text, (tuple(words),), out / "metrics.json", reads, about_s)

    return (
        step("pretrained", "joint-wise dynamics of simulated data", ("rollouts", *replays),
             size.rollouts + 2 * size.replays, size.pretrain_epochs, True, ""),
        step("hand", "tuned on the night", ("night",), 2 * size.night, size.tune_epochs, True, "pretrained"),
        step("nominal", "tuned on the same campaigns in the nominal world, for the paired loss", nominal_night,
             2 * size.night, size.tune_epochs, False, "pretrained"),
    )  # fmt: skip


def _residual(settings: Settings) -> Step:
    size, out = SIZES[settings.size], settings.out / "residual"
    words = (
        "train", "residual", "--out", str(out), "--data", str(settings.out / "rollouts"), "--base", BASE,
        "--dynamics", str(settings.out / "dynamics" / "hand"),
        "--nominal", str(settings.out / "dynamics" / "nominal"), "--epochs", str(size.residual_epochs),
        "--select.world", settings.world, "--select.wrist", ",".join(WRISTS),
        "--select.episodes", str(size.select), "--seed", str(settings.seed),
    )  # fmt: skip
    text = "corrections trained through the dynamics, judged by the gate, chosen by rollouts"
    return Step(
        "residual", 6, text, (words,), out / "metrics.json", ("rollouts", "hand", "nominal"),
        20 + 0.3 * size.rollouts * size.residual_epochs + 9.0 * size.select,
    )  # fmt: skip


def _policy(settings: Settings) -> tuple[Step, ...]:
    """Files with their cards, and which of them is to run: chosen on grasps that neither test nor training has seen."""
    size, out = SIZES[settings.size], settings.out

    def export(name: str, text: str, run: str, file: Path) -> Step:
        words = ("export", "--run", str(out / run), "--out", str(out / file))
        return Step(f"export_{name}", 7, text, (words,), out / file, (run,))

    choose = (
        "choose", "--policy", BASE, "--residuals", str(out / INVERSE), str(out / RESIDUAL),
        "--world", settings.world, "--wrist", ",".join(WRISTS), "--axis=+z", "--episodes", str(size.choose),
        "--seed", str(settings.seed), "--out", str(out / CHOSEN),
    )  # fmt: skip
    return (
        export("inverse", "the inverse of the identified servos: a file with its card", "sysid", INVERSE),
        export("residual", "the learned residual: a file with its card", "residual", RESIDUAL),
        Step("choose", 7, "inverse, residual or the base alone: chosen by rollouts", (choose,), out / CHOSEN,
             ("export_inverse", "export_residual"), 10 + 1.4 * size.choose),
    )  # fmt: skip


def _evaluation(settings: Settings) -> tuple[Step, ...]:
    """The base where it was trained and in the world, then corrected; grasps that nothing has seen before."""
    size = SIZES[settings.size]
    seeds = ",".join(str(seed) for seed in range(size.seeds))

    def step(name: str, text: str, world: str, correction: Path | None = None) -> Step:
        report = settings.out / f"evaluation_{name}.json"
        words = [
            "evaluate", "--policy", BASE, "--world", world, "--wrist", ",".join(WRISTS), "--axis=+z",
            "--episodes", str(size.episodes), "--seeds", seeds, "--keep-hand", "--report", str(report),
        ]  # fmt: skip
        words += ["--residual", str(settings.out / correction)] if correction else []
        needs = (f"export_{name}",) if correction else ()
        about_s = 5 + (4 + 0.5 * size.episodes) * size.seeds
        return Step(
            f"evaluate_{name}", 8, text, (tuple(words),), report, needs, about_s,
            with_residual=correction == RESIDUAL,
        )  # fmt: skip

    world = settings.world
    return (
        step(NOMINAL, "the base policy in the nominal world: no gap", NOMINAL),
        step("direct", f"the base policy in {world}: direct transfer", world),
        step("inverse", f"base and inverse in {world}", world, INVERSE),
        step("residual", f"base and residual in {world}", world, RESIDUAL),
    )
