# SPDX-License-Identifier: GPL-2.0-or-later
"""What the commands show, as lines of a terminal."""
