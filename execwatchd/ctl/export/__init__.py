# SPDX-License-Identifier: GPL-2.0-or-later
"""Events in the taxonomies of others: Elastic Common Schema and OpenTelemetry."""
