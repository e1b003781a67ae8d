# SPDX-License-Identifier: Apache-2.0
"""Settings of ``dexndm train dynamics``."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dexndm_ros.hand.joints import JOINT_COUNT
from dexndm_ros.training.dynamics.errors import DynamicsError

__all__ = [
    "GROUPS",
    "DynamicsConfig",
    "NetworkConfig",
    "check_config",
    "networks_of",
    "resolve_network",
]

GROUPS = {"joint": 16, "finger": 4, "hand": 1}
"""Networks of each structure; each has ``16 / networks`` joints that follow each other in motor order."""


@dataclass(frozen=True)
class NetworkConfig:
    """What a model is built of.

    Attributes:
        structure: sixteen networks (joint), four (finger) or one (hand); each sees its own joints only.
        window: steps of history, W of the paper's section 3.3.
        width: of the hidden layers.
        layers: hidden layers; 0 = a linear model (ARX).
        activation: of the hidden layers.
        skip: a linear path beside the layers, which begins as the ARX fit; the layers learn what it leaves.
    """

    structure: Literal["joint", "finger", "hand"] = "joint"
    window: int = 10
    width: int = 64
    layers: int = 2
    activation: Literal["relu", "silu", "elu", "tanh"] = "relu"
    skip: bool = True


@dataclass(frozen=True)
class DynamicsConfig:
    """One dynamics run.

    Attributes:
        out: run folder.
        data: dataset folders to train on and, one trajectory in ten, to validate with.
        test: dataset folders to test on, such as rollouts of the task; all of each.
        init: run folder of a model to begin with; what is not told of the network is taken from there.
        init_joints: with init, for each of our joints the one there whose network it begins with (motor order);
            for other joints or another hand. The numbers that standardise the data are then fitted anew.
        network: what the model is built of.
        epochs: times all data is seen; 0 only measures the errors of init.
        warm_start_epochs: epochs before these in which one network learns all joints, then copied to each; not
            with init, nor for a whole hand.
        batch: windows a gradient step, over all processes.
        learning_rate: of Adam at the begin; falls to zero as a cosine.
        tune_learning_rate: the same with init.
        trajectories: of the training data, drawn by seed; 0 = all.
        seed: of weights, order of the data and drawn trajectories.
        device: auto = CUDA where there is one.
        kernel: all networks in one batched product, or one after the other; auto = batched on CUDA, loop on a CPU.
        precision: of the products; auto = tf32 on CUDA, float32 on a CPU.
        keep: the data in the device's memory, or streamed from the files; auto = memory where it fits.
        threads: of a CPU, for each process; 0 = all, shared by the processes.
    """

    out: str = "runs/dynamics"
    data: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    init: str = ""
    init_joints: tuple[int, ...] = ()
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    epochs: int = 20
    warm_start_epochs: int = 1
    batch: int = 4096
    learning_rate: float = 2e-3
    tune_learning_rate: float = 5e-4
    trajectories: int = 0
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    kernel: Literal["auto", "batched", "loop"] = "auto"
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = "auto"
    keep: Literal["auto", "memory", "stream"] = "auto"
    threads: int = 0


_LEAST = {"epochs": 0, "warm_start_epochs": 0, "batch": 1, "trajectories": 0, "threads": 0}


def check_config(config: DynamicsConfig) -> None:
    """Refuse what no run can use.

    Raises:
        DynamicsError: names the setting, what it is and what is allowed.
    """
    for part in (config, config.network):
        for name, hint in typing.get_type_hints(type(part)).items():
            if typing.get_origin(hint) is Literal and getattr(part, name) not in typing.get_args(
                hint
            ):
                allowed = ", ".join(typing.get_args(hint))
                raise DynamicsError(
                    f"{name} is {getattr(part, name)!r}; it must be one of {allowed}"
                )
    for name, least in _LEAST.items():
        value = getattr(config, name)
        if value < least:
            raise DynamicsError(f"{name} is {value}; it must be {least} or more")
    for name in ("learning_rate", "tune_learning_rate"):
        if not getattr(config, name) > 0:
            raise DynamicsError(f"{name} is {getattr(config, name)}; it must be above 0")
    network = config.network
    if network.window < 2 or network.width < 1 or network.layers < 0:
        raise DynamicsError(
            f"a network of window {network.window}, width {network.width} and {network.layers} layers cannot be: "
            "the least is window 2, width 1, 0 layers"
        )
    if not config.data:
        raise DynamicsError("data is empty; give a folder that dexndm convert made: --data DATASET")
    if config.epochs == 0 and not config.init:
        raise DynamicsError("epochs 0 measures the model of --init RUN, and there is none")
    joints = config.init_joints
    if joints and not config.init:
        raise DynamicsError(
            "init_joints says which networks of --init RUN to take; give --init too"
        )
    if joints and (len(joints) != JOINT_COUNT or not all(0 <= j < JOINT_COUNT for j in joints)):
        raise DynamicsError(f"init_joints must be {JOINT_COUNT} numbers from 0 to 15, got {joints}")


def resolve_network(wanted: NetworkConfig, found: NetworkConfig, where: str) -> NetworkConfig:
    """The network of a run that begins with another one's.

    Args:
        wanted: settings; what is at its default is not asked for.
        found: of the run to begin with.
        where: its folder.

    Raises:
        DynamicsError: something else is asked for than what is there.
    """
    default = NetworkConfig()
    for item in dataclasses.fields(NetworkConfig):
        ask: Any = getattr(wanted, item.name)
        have: Any = getattr(found, item.name)
        if ask not in (have, getattr(default, item.name)):
            raise DynamicsError(
                f"{where} has {item.name} {have}, and {ask} is asked for: leave it out, or train one from nothing"
            )
    return found


def networks_of(joints: Sequence[int], groups: int) -> list[int]:
    """Which network each of ours begins with, where joints are taken from others.

    Args:
        joints: for each joint, in motor order, the one whose network it gets.
        groups: networks.

    Raises:
        DynamicsError: joints that one network learned together would be torn apart.
    """
    each = len(joints) // groups
    blocks = [tuple(joints[g * each : (g + 1) * each]) for g in range(groups)]
    for block in blocks:
        if block[0] % each or block != tuple(range(block[0], block[0] + each)):
            raise DynamicsError(
                f"init_joints takes joints {block} for one network, which has learned {each} that follow each other; "
                "move whole networks"
            )
    return [block[0] // each for block in blocks]
