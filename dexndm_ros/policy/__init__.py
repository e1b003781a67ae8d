# SPDX-License-Identifier: Apache-2.0
"""What runs at 20 Hz: the policy file's spec, the observation history, base + residual to target.

Nothing is imported here: the driver takes ``clock`` from this package and must not load ONNX
Runtime.
"""

__all__ = ["clock", "controller", "observation", "onnx_file", "realtime", "spec", "wrist"]
