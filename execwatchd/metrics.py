# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's numbers in a file that a node exporter's textfile collector reads.

The text is OpenMetrics, but only with what the older Prometheus format has too. The collector parses the
older format, and refuses a file with a type that this lacks, such as `info`.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from execwatchd import __version__
from execwatchd.shared import atomic_file
from execwatchd.shared.counters import Status

log = logging.getLogger(__name__)

_INTERVAL = 9.9  # s at least between two writes: collectors read every 15 s or less often


def render(
    status: Status,
    *,
    started: float,
    suppressed: int,
    unended: int,
    refused: int,
    stalled: bool,
    on_bus: bool,
    in_effect: bool,
) -> str:
    """The whole text. `started`: when this process started, in seconds since the epoch.

    `suppressed`: execs that a limit suppressed. `unended`: processes whose end can't be seen. Both are those
    of the attached program only.
    """
    counted = status.counters()
    hooks = {f'hook="{name}"': 1 for name in status.attached}
    families = (
        _family("build_info", "gauge", "The version of the daemon.", {f'version="{__version__}"': 1}),
        _family("start_time_seconds", "gauge", "When this process began.", {"": f"{started:.3f}"}, "seconds"),
        _family(
            "counting_since_seconds",
            "gauge",
            "When the counters of execs began; a restart of the daemon does not reset them.",
            {"": f"{status.since / 1e6:.6f}"},
            "seconds",
        ),
        _family("hook_attached", "gauge", "The kernel's hooks that are attached, each with a 1.", hooks),
        _counter(
            "execs_seen",
            "Execs that the hooks saw, and ends of processes where those are recorded.",
            counted.seen,
        ),
        _counter("execs_forwarded", "Execs that the journal accepted.", counted.forwarded),
        _counter("execs_ignored", "Execs that by the configuration are only counted.", counted.ignored),
        _counter(
            "execs_suppressed",
            "Of the ignored, those beyond a limit, since this program was attached.",
            suppressed,
        ),
        _counter(
            "execs_lost",
            "Execs, and ends of processes, that no journal has: the ring was full, the program could not run,"
            " or the record could not be read.",
            counted.lost,
        ),
        _counter(
            "ends_unseen",
            "Of the lost, ends of processes that could not be awaited, since this program was attached.",
            unended,
        ),
        _counter("refused_calls", "D-Bus calls refused since this process began.", refused),
        _family(
            "ring_size_bytes", "gauge", "The ring between kernel and daemon.", {"": status.ring_size}, "bytes"
        ),
        _family("ring_fill_bytes", "gauge", "What waits in the ring.", {"": counted.ring_fill}, "bytes"),
        _family("journal_stalled", "gauge", "1 while the journal takes no entries.", {"": int(stalled)}),
        _family("bus_connected", "gauge", "1 while the daemon is on the system bus.", {"": int(on_bus)}),
        _family(
            "configuration_in_effect",
            "gauge",
            "1 while all that the configuration files say is in effect.",
            {"": int(in_effect)},
        ),
    )
    return "\n".join([*(line for family in families for line in family), "# EOF\n"])


def _counter(name: str, text: str, value: int) -> Iterator[str]:
    yield from _head(name, "counter", text)
    yield f"execwatchd_{name}_total {value}"


def _family(
    name: str, kind: str, text: str, samples: Mapping[str, int | str], unit: str = ""
) -> Iterator[str]:
    """`samples`: values by their labels."""
    yield from _head(name, kind, text, unit)
    for labels, value in samples.items():
        yield f"execwatchd_{name}{{{labels}}} {value}" if labels else f"execwatchd_{name} {value}"


def _head(name: str, kind: str, text: str, unit: str = "") -> Iterator[str]:
    yield f"# TYPE execwatchd_{name} {kind}"
    if unit:
        yield f"# UNIT execwatchd_{name} {unit}"
    yield f"# HELP execwatchd_{name} {text}"


class MetricsFile:
    """Writes the file now and then, readable for every user.

    It is written even if no number has changed, so that its age shows whether the daemon lives.
    """

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        self._path: Path | None = None
        self._written = -math.inf
        self._problem = ""

    def use(self, path: str) -> None:
        """Writes this file from now on, and removes the one before; empty: no file."""
        new = Path(path) if path else None
        if new == self._path:
            self.write_if_due()
            return
        self.remove()
        self._path, self._problem = new, ""
        self._write()

    def inherit(self, path: str) -> None:
        """A daemon before this wrote this file; empty: no file."""
        self._path = Path(path) if path else None

    def write_if_due(self) -> None:
        """Writes the file, unless that was just done."""
        if time.monotonic() - self._written >= _INTERVAL:
            self._write()

    def remove(self) -> None:
        """Removes the file: outdated numbers are worse than none."""
        if self._path:
            with suppress(OSError):
                self._path.unlink()

    def _write(self) -> None:
        if self._path is None:
            return
        self._written = time.monotonic()
        try:
            # readable for every user, since the collector runs as another
            atomic_file.write(self._path, self._text().encode(), mode=0o644)
        except OSError as error:
            self._report(f"{error.strerror}")
        else:
            self._report("")

    def _report(self, problem: str) -> None:
        """Logs a problem when it is new, and its end; "" is no problem."""
        if problem and problem != self._problem:
            log.warning(
                "the metrics cannot be written to %s: %s; see metrics_file in execwatchd.toml(5)",
                self._path,
                problem,
            )
        elif self._problem and not problem:
            log.info("the metrics are written to %s again", self._path)
        self._problem = problem
