# SPDX-License-Identifier: GPL-2.0-or-later
"""load.py [without-bcc] [without-capabilities]: load and attach, in a process that a test has crippled."""

import sys

from execwatchd import privileges
from execwatchd.kernel import attach, loader
from execwatchd.kernel.c_source import directory
from execwatchd.kernel.options import Options
from execwatchd.shared.errors import Failure


def main() -> None:
    if "without-bcc" in sys.argv:
        sys.modules["bcc"] = None  # type: ignore[assignment]
    if "without-capabilities" in sys.argv:
        privileges.drop()
    try:
        fds, kernel = loader.load(directory(), Options(ring_size=1 << 20))
        attached = list(attach.attach(fds, failures=False))
    except Failure as failure:
        print(failure.message, failure.hint, sep="\n")
    else:
        print("attached", *attached, *kernel.absent)


main()
