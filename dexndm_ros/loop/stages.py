# SPDX-License-Identifier: Apache-2.0
"""What the loop consists of: seven stages, each a few `dexndm` commands, what they make and what they need.

Pure: nothing is run or read here. Every step is a command line of this package, as a person would type it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["SIZES", "STAGES", "WRISTS", "Settings", "Size", "Step", "plan"]

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
class Size:
    """How much of everything; numbers of episodes are for each wrist.

    Attributes:
        rollouts: of the base policy in the nominal world.
        replays: in the nominal world under random load, for pretraining.
        night: trajectories collected in the Chaos Box, and as many simulated in the nominal world's.
        task: rollouts in the world, which the dynamics models are tested on.
        select: episodes by which the residual is chosen.
        episodes: of the evaluation, a seed.
        seeds: of the evaluation.
        pretrain_epochs: on simulated data.
        tune_epochs: on the night.
        residual_epochs: of each loss.
        load: what the hand in the Chaos Box works against.
        speeds: how much faster than real time it lives; the next one where the machine does not keep up.
    """

    rollouts: int
    replays: int
    night: int
    task: int
    select: int
    episodes: int
    seeds: int
    pretrain_epochs: int
    tune_epochs: int
    residual_epochs: int
    load: str
    speeds: tuple[float, ...]


SIZES = {
    "tiny": Size(
        rollouts=8, replays=8, night=2, task=4, select=4, episodes=4, seeds=1,
        pretrain_epochs=2, tune_epochs=5, residual_epochs=8, load="tied", speeds=(4.0, 2.0, 1.0, 0.5),
    ),
    "small": Size(
        rollouts=64, replays=64, night=24, task=16, select=24, episodes=16, seeds=3,
        pretrain_epochs=10, tune_epochs=60, residual_epochs=16, load="full", speeds=(3.0, 2.0, 1.0, 0.5),
    ),
}  # fmt: skip
"""``tiny`` shows that everything runs; its numbers mean nothing."""


@dataclass(frozen=True)
class Settings:
    """One loop.

    Attributes:
        out: folder of everything.
        world: world that stands for the hand, shipped name or file.
        size: a key of ``SIZES``.
        seed: of everything that is drawn, but for the objects and grasps of the evaluation.
    """

    out: Path
    world: str = "twin"
    size: str = "small"
    seed: int = 1


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
    """Simulated data; the nominal night is the campaign of stage 2, target by target, in the nominal world."""
    size = SIZES[settings.size]

    def step(name: str, text: str, episodes: int, job: str, about_s: float, *more: str) -> Step:
        folder = settings.out / name
        words = (
            "rollouts", job, "--out", str(folder), "--episodes", str(episodes), "--wrist", ",".join(WRISTS),
            "--seed", str(settings.seed), "--no-report", *more,
        )  # fmt: skip
        return Step(name, 1, text, (words,), folder / "meta" / "info.json", about_s=about_s)

    return (
        step("rollouts", "the base policy turns objects in the nominal world", size.rollouts, "policy",
             10 + 0.6 * size.rollouts, "--world", NOMINAL, "--policy", BASE, "--survivors-only"),
        step("replays", "trajectories under random load in the nominal world", size.replays, "replay",
             5 + 0.15 * size.replays, "--world", NOMINAL),
        step("nominal_night", "the campaign of the Chaos Box in the nominal world", size.night, "replay",
             10 + 2.0 * size.night, "--world", NOMINAL, "--box", size.load),
        step("task", f"the base policy in {settings.world}, to test the dynamics on", size.task, "policy",
             10 + 0.6 * size.task, "--world", settings.world, "--policy", BASE),
    )  # fmt: skip


def _chaos_box(settings: Settings) -> tuple[Step, ...]:
    """Through the ROS graph; a machine that does not keep up gets more time, with what it has collected."""
    size = SIZES[settings.size]

    def step(wrist: str) -> Step:
        folder = settings.out / "chaos_box" / wrist
        words = (
            "collect", "--campaign", wrist, "--out", str(folder), "--trajectories", str(size.night),
            "--world", settings.world, "--load", size.load, "--seed", str(settings.seed), "--headless",
        )  # fmt: skip
        return Step(
            f"collect_{wrist}",
            2,
            f"{size.night} trajectories of 20 s, {wrist}, at {size.speeds[0]:g} times real time",
            tuple((*words, "--speed", f"{speed:g}") for speed in size.speeds),
            folder / "campaign.sqlite",
            about_s=10 + 21.0 * size.night / size.speeds[0],
        )

    return tuple(step(wrist) for wrist in WRISTS)


def _convert(settings: Settings) -> Step:
    campaigns = [str(settings.out / "chaos_box" / wrist) for wrist in WRISTS]
    night = settings.out / "night"
    return Step(
        "convert",
        3,
        "bags become a dataset, with a quality report",
        (("convert", *campaigns, "--out", str(night)),),
        night / "meta" / "info.json",
        tuple(f"collect_{wrist}" for wrist in WRISTS),
        about_s=10,
        done=_WITH_WARNINGS,
    )


def _dynamics(settings: Settings) -> tuple[Step, ...]:
    size = SIZES[settings.size]

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
        step("pretrained", "joint-wise dynamics of simulated data", ("rollouts", "replays"),
             size.rollouts + size.replays, size.pretrain_epochs, True, ""),
        step("hand", "tuned on the night", ("night",), size.night, size.tune_epochs, True, "pretrained"),
        step("nominal", "tuned on the same campaign in the nominal world, for the paired loss", ("nominal_night",),
             size.night, size.tune_epochs, False, "pretrained"),
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
