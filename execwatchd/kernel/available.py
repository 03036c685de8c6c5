# SPDX-License-Identifier: GPL-2.0-or-later
"""Which options this host can give: what it can't is left out, so that everything else is recorded."""

from collections.abc import Mapping
from dataclasses import replace

from execwatchd.kernel import attach, header, structures
from execwatchd.kernel.options import Options
from execwatchd.shared.errors import Failure

LeftOut = Mapping[str, str]  # option → reason


def available(options: Options) -> tuple[Options, LeftOut]:
    """The same options without those that can't be had, and why.

    Needs the capabilities of a start: it opens the tracepoints that `failures` needs, and closes them.
    """
    wanted = [name for name in ("failures", *structures.OF_OPTIONS) if getattr(options, name)]
    left_out = header.missing(wanted) if wanted else {}
    if "failures" in wanted:
        try:
            attach.check_failures()
        except Failure as failure:
            left_out["failures"] = str(failure)
    return replace(options, **dict.fromkeys(left_out, False)), left_out
