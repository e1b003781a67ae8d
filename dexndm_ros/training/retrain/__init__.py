# SPDX-License-Identifier: Apache-2.0
"""The shipped policy adapted in a simulator that was corrected after the hand."""
