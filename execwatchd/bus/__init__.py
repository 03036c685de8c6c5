# SPDX-License-Identifier: GPL-2.0-or-later
"""The service org.execwatch1 on the system bus."""

from execwatchd.shared import dbus_next_glib

dbus_next_glib.leave_out()
