# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands. Each is a function of the options and `ports.Tools` that returns the exit status."""
