# SPDX-License-Identifier: GPL-2.0-or-later
"""The event path: ring buffer, decode, entry, journal; one way, no way back."""
