# SPDX-License-Identifier: GPL-2.0-or-later
"""Every program execution of a Linux host in the systemd journal, each with its user's message."""

__version__ = "0.1.0"
