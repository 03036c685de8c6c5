# SPDX-License-Identifier: GPL-2.0-or-later
"""execwatchctl: the daemon at the terminal, over its own bus interface and the journal."""
