# SPDX-License-Identifier: Apache-2.0
"""`dexndm collect`: a whole campaign with one command."""
