# SPDX-License-Identifier: Apache-2.0
"""The numbers that this project holds, measured: ``make bench``, or ``python -m bench --help``."""
