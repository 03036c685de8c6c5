# SPDX-License-Identifier: GPL-2.0-or-later
"""The control path: configuration, message table, D-Bus."""
