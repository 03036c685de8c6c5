# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures in docs/benchmarks.md: a table in place of each marked one, and the plots beside it."""

import re
from pathlib import Path

from tests.bench.figures import Figure, Results

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "benchmarks.md"
DATA = DOCS / "benchmarks/figures.json"
_MARKED = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PLOTS = {
    "sequential": "Slow-down of execs one after the other",
    "all-cores": "Slow-down of execs on all cores",
    "cpu": "Processor time per exec at 2,000 a second",
    "memory": "Memory",
}


def table(figures: list[Figure]) -> str:
    """As Markdown."""
    rows = [("", "median", "least to most", ""), ("---",) * 4, *(figure.cells() for figure in figures)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def page(text: str, results: Results) -> str:
    """The page with each marked place filled from the results; a section never measured stays as it is."""

    def filled(match: re.Match[str]) -> str:
        figures = results.figures(match[2])
        if not figures:
            return match[0]
        return f"{match[1]}\n{table(figures)}\n{results.machine(match[2])}\n{match[3]}"

    return _MARKED.sub(filled, text)


def write(results: Results) -> None:
    """Renew the page and its plots."""
    from tests.bench import plots  # the page's text can be checked without matplotlib

    PAGE.write_text(page(PAGE.read_text(), results))
    for section, title in PLOTS.items():
        if any(figure.values for figure in results.figures(section)):
            plots.bars(title, results.figures(section), DATA.with_name(f"{section}.svg"))
