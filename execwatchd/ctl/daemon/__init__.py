# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon as the commands reach it: over the system bus."""

from execwatchd.shared import dbus_next_glib

dbus_next_glib.leave_out()
