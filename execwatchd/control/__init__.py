# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemon is told: configuration, state, the message table, and the D-Bus service over them."""

import sys
from types import ModuleType

# dbus-next imports its GLib half unasked: 4 MiB of the daemon's memory wherever PyGObject is installed.
sys.modules.setdefault("dbus_next.glib", ModuleType("dbus_next.glib"))
