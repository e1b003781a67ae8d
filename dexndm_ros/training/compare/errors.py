# SPDX-License-Identifier: Apache-2.0
"""What a comparison refuses."""

__all__ = ["CompareError"]


class CompareError(RuntimeError):
    """Settings or a folder that no comparison can use; the message names what is wrong and what is allowed."""
