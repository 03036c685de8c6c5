# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel side: compile, attach, hand over, read the ring, write the maps."""
