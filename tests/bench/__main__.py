# SPDX-License-Identifier: GPL-2.0-or-later
"""`make bench`: measures what docs/benchmarks.md says, and renews its tables and plots.

python -m tests.bench [SECTION...]     only these; the others keep the figures that they have
"""

import shutil
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench import boxed, contest, fields, kernel, redaction, report, scale, solo, utmost
from tests.bench.figures import Figure, Results
from tests.bench.peers import installed, peers
from tests.bench.programs import Programs
from tests.bench.usage import machine


class Bench:
    """A booted system with execwatchd, the programs of the load, and a directory in memory for all."""

    def __init__(self, directory: Path, ends: ExitStack, results: Results) -> None:
        self.directory = directory
        self.results = results
        self.programs = Programs(directory)
        kernel.prepare(directory)
        self.box = ends.enter_context(boxed.booted(directory))

    def rate(self) -> float:
        """Entries a second that the daemon wrote at its utmost."""
        measured = self.results.figures("utmost")
        if not measured:
            raise SystemExit("bench: the model needs the figures of `utmost`: measure that first")
        return measured[0].median

    def contest(self) -> dict[str, list[Figure]]:
        """execwatchd and its peers; the peers are installed for that long only."""
        with installed(self.directory) as layer:
            return contest.run([boxed.Execwatchd(self.box), *peers(layer, self.programs)], self.programs)


_ALONE: dict[str, Callable[[Bench], list[Figure]]] = {
    "kernel": lambda bench: kernel.execs(bench.programs),
    "other-calls": lambda bench: kernel.other_calls(bench.programs),
    "entry": lambda _bench: redaction.run(),
    "slow-down": lambda bench: solo.slow_down(bench.box, bench.programs),
    "idle": lambda bench: solo.idle(bench.box),
    "arguments": lambda bench: solo.arguments(bench.box, bench.programs),
    "delay": lambda bench: solo.delays(bench.box, bench.programs),
    "start": lambda bench: solo.starts(bench.box),
    "bus": lambda bench: solo.bus(bench.box),
    "fields": lambda bench: fields.run(bench.box, bench.programs),
    "utmost": lambda bench: utmost.utmost(bench.box, bench.programs),
    "storm": lambda bench: utmost.storm(bench.box, bench.programs),
    "rates": lambda bench: scale.real(bench.box, bench.programs),
    "model": lambda bench: scale.model(bench.rate()),
}
_CONTEST = "contest"


@contextmanager
def _bench(results: Results) -> Iterator[Bench]:
    # in memory: overlays need a file system that is none itself, and a disk's pace is not what is measured
    directory = Path(tempfile.mkdtemp(prefix="execwatchd-bench-", dir="/dev/shm"))
    try:
        with ExitStack() as ends:
            yield Bench(directory, ends, results)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sections(arguments: list[str]) -> Iterable[str]:
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    names = [*_ALONE, _CONTEST]
    parser.add_argument("section", nargs="*", choices=[[], *names], default=[], help=", ".join(names))
    return parser.parse_args(arguments).section or names


def main() -> None:
    """Measure, show, and write down, a section at a time."""
    wanted = _sections(sys.argv[1:])
    results = Results(report.DATA)
    with _bench(results) as bench:
        for name in wanted:
            measured = bench.contest() if name == _CONTEST else {name: _ALONE[name](bench)}
            for section, figures in measured.items():
                results.put(section, machine(), figures)
                print(f"\n{section}\n")
                for figure in figures:
                    print("  {:45} {:>18}  {:22} {}".format(*figure.cells()))
            sys.stdout.flush()
            report.write(results)


main()
