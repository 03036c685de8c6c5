# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands, one function each: options and `ports.Tools` in, exit status out."""
