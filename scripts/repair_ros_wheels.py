#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Point the ROS wheels' CMake exports at this interpreter.

The message wheels export two include folders of the machine that built them. CMake refuses to generate until both
exist, so they are rewritten to this interpreter's headers and this environment's numpy. Run it with the Python of the
environment after each install; a second run changes nothing.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

BUILDER_NUMPY = re.compile(
    r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages/numpy/_core/include"
)
BUILDER_PYTHON = re.compile(r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+")


def repair(prefix: Path, python_include: str, numpy_include: str) -> int:
    """Rewrite the exports below a prefix.

    Args:
        prefix: the environment's root, holding share/*/cmake/*.cmake.
        python_include: folder of this interpreter's Python.h.
        numpy_include: folder of this environment's numpy headers.

    Returns:
        The number of files changed.
    """
    changed = 0
    for path in sorted(prefix.glob("share/*/cmake/*.cmake")):
        old = path.read_text(encoding="utf-8")
        new = BUILDER_NUMPY.sub(lambda _: numpy_include, old)
        new = BUILDER_PYTHON.sub(lambda _: python_include, new)
        if new != old:
            path.write_text(new, encoding="utf-8")
            changed += 1
    return changed


def main() -> int:
    """Repair the environment of the interpreter that runs this."""
    import numpy

    include = sysconfig.get_paths()["include"]
    if not (Path(include) / "Python.h").is_file():
        print(
            f"error: {include}/Python.h is missing; install this Python's headers (Debian and Ubuntu: python3-dev)",
            file=sys.stderr,
        )
        return 1
    changed = repair(Path(sys.prefix), include, numpy.get_include())
    print(f"ROS wheels: {changed} CMake exports pointed at this interpreter")
    return 0


if __name__ == "__main__":
    sys.exit(main())
