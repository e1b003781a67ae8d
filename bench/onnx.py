# SPDX-License-Identifier: Apache-2.0
"""A network of the paper's size in ONNX Runtime, fp32 and int8, against eager torch; one hand, one thread."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from bench.result import Check, Options, Result, quantiles
from dexndm_ros.paths import PathError, policy_path
from dexndm_ros.policy.controller import OnnxPolicy
from dexndm_ros.policy.onnx_file import open_model
from dexndm_ros.policy.wrist import parse_axis
from dexndm_ros.sim.env import ACTION_SCALE_RAD, EnvConfig, RotationEnv
from dexndm_ros.sim.grasps import make_grasps
from dexndm_ros.sim.randomise import Randomisation, draw_worlds
from dexndm_ros.sim.worlds import World
from dexndm_ros.training.export import export_onnx
from dexndm_ros.training.networks import ResidualMlp

Observations = NDArray[np.float32]
_TOLERANCE_RAD = 1e-3
_WARM_UP = 10


def run(options: Options) -> Result:
    """Time a network of random weights, and compare the shipped policy's int8 with its fp32."""
    for chatty in ("torch.onnx", "onnxruntime.quantization.matmul_nbits_quantizer"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.manual_seed(options.seed)
    torch.set_num_threads(1)
    try:
        shipped: Path | None = policy_path(options.policy)
    except PathError:
        shipped = None
    seen = _observations(options, shipped)
    net = ResidualMlp()
    net.fit_normaliser(torch.from_numpy(seen))
    rows, checks = [], []
    with tempfile.TemporaryDirectory(prefix="dexndm-bench-") as folder:
        fp32 = Path(folder) / "fp32.onnx"
        export_onnx(net, fp32)
        int8 = _quantise(fp32)
        torch_ms = _time(_eager(net), seen, options.runs)
        rows.append(["eager torch fp32", *torch_ms, 1.0, _megabytes(fp32), float("nan")])
        for name, path in (("ONNX Runtime fp32", fp32), ("ONNX Runtime int8", int8)):
            values = _time(_session(path), seen, options.runs)
            error = _difference(path, fp32, seen)
            rows.append([name, *values, values[0] / torch_ms[0], _megabytes(path), error])
            if path == int8:
                checks.append(Check("paper size, int8 against fp32, rad", error, _TOLERANCE_RAD))
        if shipped is not None:
            copy = Path(folder) / "shipped.onnx"
            copy.write_bytes(shipped.read_bytes())
            small = _quantise(copy)
            error = _difference(small, copy, seen)
            values = _time(_session(small), seen, options.runs)
            rows.append([f"{options.policy} int8", *values, values[0] / torch_ms[0],
                         _megabytes(small), error])  # fmt: skip
            checks.append(Check("shipped policy, int8 against fp32, rad", error, _TOLERANCE_RAD))
    parameters = sum(p.numel() for p in net.parameters())
    notes = [
        f"{parameters / 1e6:.1f} M parameters (327, width 1024, 5 blocks of 3 layers), random weights",
        f"difference: largest over {len(seen)} observations and 16 joints, times the action scale",
    ]
    if shipped is None:
        notes.append(f"no policy {options.policy!r}: observations are of random actions")
    return Result(
        "One inference of one hand",
        ["network", "median ms", "p99 ms", "ratio to torch", "MB", "int8 - fp32, rad"],
        rows,
        checks,
        notes,
        {"parameters": parameters, "observations": len(seen)},
    )


def _observations(options: Options, shipped: Path | None) -> Observations:
    """What the shipped policy sees in rollouts of its own, (N, 327)."""
    count, steps = min(options.hands, 32), 10 if options.quick else 100
    worlds = draw_worlds(World.load(options.world), count, Randomisation(), options.seed + 7)
    grasps = make_grasps(worlds, count, options.seed + 7)
    env = RotationEnv(
        worlds, grasps, parse_axis(options.axis), EnvConfig(), options.seed, options.threads
    )
    rng = np.random.default_rng(options.seed)
    policy = None if shipped is None else OnnxPolicy(open_model(shipped), batch=count)
    if policy is not None:
        policy.reset(env.measured, env.target)
    seen = []
    for _ in range(steps):
        seen.append(env.proprioceptive())
        if policy is None:
            env.step(rng.uniform(-1.0, 1.0, (count, 16)))
            continue
        action = policy.step(env.measured, env.wrists, env.axes)
        done = env.step_target(action.base, action.target).done
        if done.any():
            policy.reset_rows(done, env.measured, env.target)
    return np.concatenate(seen)


def _quantise(path: Path) -> Path:
    """Eight-bit weights and products, scaled by blocks of 16; the outer layers stay fp32.

    One scale for a whole tensor errs three times as much. The outer layers are 3 % of the weights and half
    of the error: the first turns raw angles into differences of milliradians.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = onnx.load(path)
    # The exporter notes shapes of weights too, which are transposed here.
    del model.graph.value_info[:]
    plain = ONNXModel(model)
    plain.replace_gemm_with_matmul()
    layers = [node.name for node in plain.model.graph.node if node.op_type == "MatMul"]
    quantiser = MatMulNBitsQuantizer(
        plain.model,
        nodes_to_exclude=[*layers[:2], layers[-1]],
        algo_config=DefaultWeightOnlyQuantConfig(
            block_size=16, is_symmetric=True, accuracy_level=4, bits=8
        ),
    )
    quantiser.process()
    target = path.with_name(f"{path.stem}_int8.onnx")
    onnx.save(quantiser.model.model, target)
    return target


def _session(path: Path) -> Callable[[Observations], Observations]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda rows: session.run(None, {name: rows})[0]


def _eager(net: torch.nn.Module) -> Callable[[Observations], Observations]:
    net.eval()

    def call(rows: Observations) -> Observations:
        with torch.inference_mode():
            return net(torch.from_numpy(rows)).numpy()

    return call


def _time(
    call: Callable[[Observations], Observations], seen: Observations, runs: int
) -> list[float]:
    """Median and p99 of single inferences, ms."""
    times = []
    for k in range(_WARM_UP + runs):
        row = seen[k % len(seen)][None]
        begin = time.perf_counter()
        call(row)
        times.append((time.perf_counter() - begin) * 1e3)
    return quantiles(times[_WARM_UP:], 0.5, 0.99)


def _difference(path: Path, reference: Path, seen: Observations) -> float:
    """Largest difference of a joint's target in one step, rad."""
    ours, theirs = (np.clip(_session(p)(seen), -1.0, 1.0) for p in (path, reference))
    return float(np.abs(ours - theirs).max()) * ACTION_SCALE_RAD


def _megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6
