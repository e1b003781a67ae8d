# SPDX-License-Identifier: Apache-2.0
"""``dexndm demo``: starts a system, shows how it does, measures it, and ends it again."""
