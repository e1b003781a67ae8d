# SPDX-License-Identifier: Apache-2.0
"""The engine on Ray: the cluster that is there, or one of this machine's cores when there is none.

Tasks carry paths, and results come back as small values: bags, parts and the dataset's folder must be on storage that
every machine sees under the same path, and dexndm_ros must be installed on each.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from dexndm_ros.datasets.engine import AHEAD, EngineError, Outcome, worker_setup

__all__ = ["RayEngine"]

_KNOCK_S = 5.0
_OBJECT_STORE_BYTES = 100 * 2**20
"""Enough: what goes through it are paths and counts."""


class RayEngine:
    """A Ray cluster; see :class:`dexndm_ros.datasets.engine.Engine`.

    Args:
        jobs: tasks at once; None = as many as the cluster has cores.

    Raises:
        EngineError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, jobs: int | None = None) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing calls home unasked
        # Tasks ask for no GPU; without this Ray announces a coming change of what that means.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        try:
            import ray
        except ImportError as error:
            raise EngineError(
                f"--engine ray needs Ray ({error}); pip install -r requirements-ray.txt, or leave --engine away"
            ) from error
        self._ray = ray
        self._started = not ray.is_initialized()
        if self._started:
            self._init(jobs)
        self._jobs = jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def _init(self, jobs: int | None) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        address = os.environ.get("RAY_ADDRESS", "")
        try:
            _knock(address)
            # RAY_ADDRESS, or a cluster that `ray start` made here.
            self._ray.init(address="auto", **quiet)
            return
        except Exception as error:  # Ray raises many kinds
            if address or not isinstance(error, ConnectionError):
                raise EngineError(
                    f"the Ray cluster {address or 'of this machine'} cannot be used: {error}; "
                    + (
                        "unset RAY_ADDRESS to use this machine alone"
                        if address
                        else "see `ray status`"
                    )
                ) from error
        try:
            self._ray.init(
                address="local",
                num_cpus=jobs or len(os.sched_getaffinity(0)),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                **quiet,
            )
        except Exception as error:
            raise EngineError(
                f"Ray does not start here: {error}; leave --engine away to use this machine's cores without it"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._started:
            self._ray.shutdown()

    def run(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Outcome]:
        """See :class:`dexndm_ros.datasets.engine.Engine`."""
        ray = self._ray
        remote = ray.remote(num_cpus=1, max_retries=0)(_run)
        todo = ((number, argument, False) for number, argument in enumerate(tasks))
        under_way: dict[Any, tuple[int, Any, bool]] = {}
        more = True
        try:
            while more or under_way:
                while more and len(under_way) < AHEAD * self._jobs:
                    task = next(todo, None)
                    if task is None:
                        more = False
                    else:
                        under_way[remote.remote(function, task[1])] = task
                if not under_way:
                    break
                ready, _ = ray.wait(list(under_way), num_returns=1)
                for reference in ready:
                    number, argument, again = under_way.pop(reference)
                    try:
                        yield Outcome(number, value=ray.get(reference), again=again)
                    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError,
                            ray.exceptions.NodeDiedError):  # fmt: skip
                        if again:
                            yield Outcome(number, died=True)
                        else:
                            under_way[remote.remote(function, argument)] = number, argument, True
                    except ray.exceptions.RayTaskError as error:
                        cause = error.cause if isinstance(error.cause, BaseException) else error
                        yield Outcome(number, error=cause, again=again)
        finally:
            for reference in under_way:
                with contextlib.suppress(Exception):
                    ray.cancel(reference, force=True)


def _knock(address: str) -> None:
    """Whether somebody answers there; Ray itself would try for minutes.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S):
            pass


def _run(function: Callable[[Any], Any], argument: Any) -> Any:
    """What a worker of the cluster does."""
    worker_setup()
    return function(argument)
