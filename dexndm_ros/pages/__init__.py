# SPDX-License-Identifier: Apache-2.0
"""What the web pages of this package share: how they are hosted, and their files."""
