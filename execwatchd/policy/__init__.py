# SPDX-License-Identifier: GPL-2.0-or-later
"""Configuration files, state, and the table of rules that results from both."""
