# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal as the commands read it: what to ask for, its entries, and what they say together."""
