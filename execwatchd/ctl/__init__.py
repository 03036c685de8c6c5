# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchctl: the daemon at the terminal, over its own bus interface and the journal.

`cli` has the grammar and names each command's function in `commands`; those work with `ports.Tools` alone.
`daemon.client` and `journal.systemd_journal` are the real ends of those ports.
"""
