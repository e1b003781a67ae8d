# SPDX-License-Identifier: Apache-2.0
"""Recorded runs once more: their messages published again, their decisions made again and compared."""
