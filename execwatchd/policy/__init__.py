# SPDX-License-Identifier: GPL-2.0-or-later
"""What the administrators want: configuration files, state, and the table of rules that both make."""
