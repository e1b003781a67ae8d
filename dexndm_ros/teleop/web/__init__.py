# SPDX-License-Identifier: Apache-2.0
"""The page in the headset's browser and the server that it talks to, on one port."""
