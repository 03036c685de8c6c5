# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal as the commands read it: queries, entries, and the trees and counts made of them."""
