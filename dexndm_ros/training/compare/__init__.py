# SPDX-License-Identifier: Apache-2.0
"""Every way to close a world's gap beside each other: equal data, the same test, what each is worth."""
