# SPDX-License-Identifier: Apache-2.0
"""Watching a campaign: the web page, the report, the message to whoever is asleep."""
