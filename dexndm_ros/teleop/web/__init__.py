# SPDX-License-Identifier: Apache-2.0
"""The page in the headset's browser and the server that it talks to, on one port."""

FOLDER = "~/.config/dexndm"
"""Where they are kept when nobody says otherwise."""
TOKEN_FILE = "teleop.token"
"""What a page must know, in the folder that ``quest_bridge`` keeps."""
CERTIFICATE_FILE = "teleop.pem"
"""Key and certificate, beside it."""
