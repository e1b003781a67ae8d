# SPDX-License-Identifier: Apache-2.0
"""What the loop consists of: seven stages, each a few `dexndm` commands, what they make and what they need.

Pure: nothing is run or read here. Every step is a command line of this package, as a person would type it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.loop.settings import SIZES, Half, Settings, halves

__all__ = ["POLICY", "STAGES", "WRISTS", "Step", "plan"]

STAGES = (
    "rollouts",
    "Chaos Box",
    "convert",
    "dynamics",
    "residual",
    "export",
    "evaluation",
)
"""Their names; a step's ``stage`` counts from 1."""
WRISTS = ("palm_up", "palm_down")
"""Under which data are collected, rollouts made and the policy is evaluated."""
NOMINAL = "nominal"
BASE = "cylinder_z"
LIBRARY = "cylinder_z"
"""That of the campaigns ``palm_up`` and ``palm_down``, and of ``dexndm rollouts replay``."""
POLICY = Path("policy") / "residual.onnx"
"""Where the residual comes to lie, its card beside it."""
_WITH_WARNINGS = (0, 1)
"""`dexndm convert` ends with 1 where a bag has something to say; the dataset is there."""


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: of its log and its record.
        stage: 1 to 7.
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
        _convert(settings),
        *_dynamics(settings),
        _residual(settings),
        _export(settings),
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


def _convert(settings: Settings) -> Step:
    each = [(half, wrist) for half in halves(settings) for wrist in WRISTS]
    campaigns = [str(_campaign(settings, half, wrist)) for half, wrist in each]
    night = settings.out / "night"
    return Step(
        "convert",
        3,
        "bags become a dataset, with a quality report",
        (("convert", *campaigns, "--out", str(night)),),
        night / "meta" / "info.json",
        tuple(f"collect_{wrist}_{half.name}" for half, wrist in each),
        about_s=15,
        done=_WITH_WARNINGS,
    )


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
        return Step(name, 4, text, (tuple(words),), out / "metrics.json", reads, about_s)

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
        "residual", 5, text, (words,), out / "metrics.json", ("rollouts", "hand", "nominal"),
        20 + 0.1 * size.rollouts * size.residual_epochs + 9.0 * size.select,
    )  # fmt: skip


def _export(settings: Settings) -> Step:
    file = settings.out / POLICY
    words = ("export", "--run", str(settings.out / "residual"), "--out", str(file))
    return Step("export", 6, "a policy file with its card", (words,), file, ("residual",))


def _evaluation(settings: Settings) -> tuple[Step, ...]:
    """The base where it was trained and in the world, then with its residual; grasps that nothing has seen before."""
    size = SIZES[settings.size]
    seeds = ",".join(str(seed) for seed in range(size.seeds))

    def step(name: str, text: str, world: str, residual: bool) -> Step:
        report = settings.out / f"evaluation_{name}.json"
        words = [
            "evaluate", "--policy", BASE, "--world", world, "--wrist", ",".join(WRISTS), "--axis=+z",
            "--episodes", str(size.episodes), "--seeds", seeds, "--keep-hand", "--report", str(report),
        ]  # fmt: skip
        words += ["--residual", str(settings.out / POLICY)] if residual else []
        needs = ("export",) if residual else ()
        about_s = 5 + (4 + 0.5 * size.episodes) * size.seeds
        return Step(
            f"evaluate_{name}", 7, text, (tuple(words),), report, needs, about_s, with_residual=residual
        )  # fmt: skip

    return (
        step(NOMINAL, "the base policy in the nominal world: no gap", NOMINAL, False),
        step("direct", f"the base policy in {settings.world}: direct transfer", settings.world, False),
        step("residual", f"base and residual in {settings.world}", settings.world, True),
    )  # fmt: skip
