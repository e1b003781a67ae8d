# SPDX-License-Identifier: Apache-2.0
"""What a worker does with a bag: it becomes a part file.

Pure but for that file: the same bag gives the same bytes on whatever machine. Nothing is raised for what is wrong with
a bag: it comes back as a sentence, since one bad bag must not cost a night.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from dexndm_ros.bags.open import open_bag
from dexndm_ros.datasets.config import ConvertConfig
from dexndm_ros.datasets.convert_bag import convert_bag
from dexndm_ros.datasets.errors import DatasetWriteError
from dexndm_ros.datasets.part import part_name, write_part
from dexndm_ros.datasets.spill import Spill

__all__ = ["BagDone", "BagTask", "bag_job"]


@dataclass(frozen=True)
class BagTask:
    """A bag to make a part of.

    Attributes:
        path: the bag.
        parts: folder of the parts.
        config: how.
        known: SHA-256 of bags of the same size that the dataset has already.
    """

    path: Path
    parts: Path
    config: ConvertConfig
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class BagDone:
    """What came of it.

    Attributes:
        sha256: of the bag; "" = it could not be read.
        known: the dataset has it already; no part was made.
        failure: why no part was made, in words; "" = one was.
        trace: where a defect of ours was met; "" for what is wrong with a bag.
    """

    sha256: str = ""
    known: bool = False
    failure: str = ""
    trace: str = ""


def bag_job(task: BagTask) -> BagDone:
    """Convert a bag and write its part.

    Raises:
        DatasetWriteError: the part cannot be written; no other bag's could.
    """
    with Spill(task.parts) as spill:
        try:
            if task.known:
                # Reading it as bytes is many times faster than converting it again for nothing.
                sha256 = open_bag(task.path).sha256()
                if sha256 in task.known:
                    return BagDone(sha256, known=True)
            result = convert_bag(task.path, task.config, spill.keep)
        except DatasetWriteError:
            raise
        except MemoryError:
            return BagDone(failure="it needs more memory than there is; use fewer --jobs")
        except Exception as error:
            return _failure(error)
        write_part(task.parts / part_name(result.sha256), result)
    return BagDone(result.sha256)


def _failure(error: Exception) -> BagDone:
    ours = any(kind.__module__.startswith("dexndm_ros") for kind in type(error).__mro__)
    if ours or isinstance(error, OSError):
        return BagDone(failure=str(error))
    return BagDone(
        failure=f"a defect of the converter: {type(error).__name__}: {error}",
        trace="".join(traceback.format_exception(error)),
    )
