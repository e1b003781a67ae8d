# SPDX-License-Identifier: Apache-2.0
"""``dexndm close-the-gap``: from a base policy and a hand to corrections of it and a table."""
