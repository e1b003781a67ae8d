# SPDX-License-Identifier: Apache-2.0
"""Offline jobs: oracle, generalist, evaluation and export of policies."""
