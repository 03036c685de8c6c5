# SPDX-License-Identifier: GPL-2.0-or-later
"""What every other package may use; it uses none of them."""
