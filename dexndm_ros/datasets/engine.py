# SPDX-License-Identifier: Apache-2.0
"""Runs a pure function on many tasks at once: processes of this machine, or a Ray cluster.

An engine knows nothing of bags. Results come as they are ready, each with the number of its task: the order of what
is made of them does not depend on who was faster. Few tasks are under way at a time: memory stays flat.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol, Self

__all__ = [
    "AHEAD",
    "Engine",
    "EngineError",
    "LocalEngine",
    "Outcome",
    "open_engine",
    "worker_setup",
]

AHEAD = 2
"""Tasks handed to the engine for each worker: one to do, one to go on with at once."""
_PR_SET_PDEATHSIG = 1
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class EngineError(RuntimeError):
    """An engine that cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Outcome:
    """What came of a task.

    Attributes:
        number: of the task, in the order in which they were given.
        value: what the function returned.
        error: what it raised; None = it returned.
        died: its worker died, and did so again when it was retried (out of memory, or a crash in native code).
        again: a worker died while it was under way; it was done once more.
    """

    number: int
    value: Any = None
    error: BaseException | None = None
    died: bool = False
    again: bool = False


class Engine(Protocol):
    """Runs tasks; a context manager."""

    def run(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Outcome]:
        """Do all tasks, and yield what came of each as soon as it is known.

        Args:
            function: of a module, with one argument; it may run in another process on another machine.
            tasks: its arguments; taken one by one, as there is room.
        """
        ...

    def __enter__(self) -> Self:
        """The workers may be started."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The workers end, with what they are doing."""
        ...


def open_engine(name: Literal["local", "ray"], jobs: int | None = None) -> Engine:
    """Get an engine by its name.

    Args:
        name: which.
        jobs: workers; None = as many as there are cores for us.

    Raises:
        EngineError: no such engine, or it is not installed.
    """
    if name == "local":
        return LocalEngine(jobs)
    if name == "ray":
        from dexndm_ros.datasets.engine_ray import RayEngine

        return RayEngine(jobs)
    raise EngineError(f"there is no engine {name!r}; allowed: local, ray")


class LocalEngine:
    """Processes of this machine.

    A worker that dies breaks its whole pool, and nobody says which task it was. So all that were under way are done
    again, each alone: the one that kills its worker once more is known, and meanwhile it has all the memory.

    Args:
        jobs: processes; None = as many as there are cores for us.
    """

    def __init__(self, jobs: int | None = None) -> None:
        self._jobs = jobs or len(os.sched_getaffinity(0))
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close(kill=kind is not None)

    def run(self, function: Callable[[Any], Any], tasks: Iterable[Any]) -> Iterator[Outcome]:
        """See :class:`Engine`."""
        todo = enumerate(tasks)
        under_way: dict[Future[Any], tuple[int, Any]] = {}
        suspects: deque[tuple[int, Any]] = deque()
        more = True
        while more or under_way:
            while more and len(under_way) < AHEAD * self._jobs and not suspects:
                task = next(todo, None)
                if task is None:
                    more = False
                else:
                    self._submit(function, task, under_way, suspects)
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                task = under_way.pop(future)
                if isinstance(future.exception(), BrokenProcessPool):
                    suspects.append(task)
                else:
                    yield _outcome(task[0], future)
            if suspects and not under_way:
                self._close()
                for number, argument in sorted(suspects, key=lambda each: each[0]):
                    yield self._alone(function, number, argument)
                suspects.clear()

    def _submit(
        self,
        function: Callable[[Any], Any],
        task: tuple[int, Any],
        under_way: dict[Future[Any], tuple[int, Any]],
        suspects: deque[tuple[int, Any]],
    ) -> None:
        if self._pool is None:
            self._pool = _pool(self._jobs)
        try:
            under_way[self._pool.submit(function, task[1])] = task
        except BrokenProcessPool:  # it broke since the last look
            suspects.append(task)

    def _alone(self, function: Callable[[Any], Any], number: int, argument: Any) -> Outcome:
        # Twice: it may only have waited in the pool that broke, so that this is its first death.
        for _ in range(2):
            with _pool(1) as pool:
                future = pool.submit(function, argument)
                wait([future])
                if not isinstance(future.exception(), BrokenProcessPool):
                    return _outcome(number, future, again=True)
        return Outcome(number, died=True)

    def _close(self, kill: bool = False) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        if kill:
            # What they do is done again next time; a Ctrl-C must not wait for a bag of 10 GB.
            for process in list((getattr(pool, "_processes", None) or {}).values()):
                process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


def _outcome(number: int, future: Future[Any], again: bool = False) -> Outcome:
    error = future.exception()
    if error is not None:
        return Outcome(number, error=error, again=again)
    return Outcome(number, value=future.result(), again=again)


def _pool(jobs: int) -> ProcessPoolExecutor:
    # Spawned, not forked: a fork would copy the locks of Arrow's threads.
    return ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=worker_setup,
        initargs=(os.getpid(),),
    )


def worker_setup(parent: int = 0) -> None:
    """Make this process a worker: it ends with its parent, leaves Ctrl-C to it, and starts no threads of its own.

    Args:
        parent: process id; 0 = it does not matter.
    """
    for name in _THREADS:  # read when numpy is loaded, which is below
        os.environ.setdefault(name, "1")
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    if parent:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
