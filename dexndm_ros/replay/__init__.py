# SPDX-License-Identifier: Apache-2.0
"""The Chaos Box: what is replayed, what was done, and when to stop."""
