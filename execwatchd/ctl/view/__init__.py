# SPDX-License-Identifier: GPL-2.0-or-later
"""How the commands show things: lines and screens of a terminal."""
