# SPDX-License-Identifier: GPL-2.0-or-later
"""Secrets out of command lines: bytes of arguments in, the same number of arguments out."""
