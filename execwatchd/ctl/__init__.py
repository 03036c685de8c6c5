# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchctl: the daemon at the terminal, over its own bus interface and the journal.

`cli` has the grammar and names each command's function in `commands`. The commands use the daemon and the
journal by the protocols in `ports`, which `daemon.client` and `journal.systemd_journal` implement.
"""
