# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchctl: the daemon at the terminal, over its own bus interface and the journal.

`cli` has the grammar and names each command's function; those work with `ports.Tools` alone. `bus` and
`journal` are the real ends of those ports and the only modules that know dbus-next and systemd-python.
"""
