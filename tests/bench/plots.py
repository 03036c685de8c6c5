# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures as bars, in SVG; the only module that knows matplotlib, which is the distribution's."""

import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from tests.bench.figures import Figure, number

_OURS, _OTHERS = "#2a6f97", "#b8c4cc"
# text as text and no date: the same figures give the same file
mpl.rcParams.update({"svg.hashsalt": "execwatchd", "svg.fonttype": "none", "font.size": 10})


def bars(title: str, figures: list[Figure], path: Path) -> None:
    """A bar for each row's median, with a whisker from least to most; none for a row without values."""
    shown = [figure for figure in figures if figure.values][::-1]
    canvas = Canvas(figsize=(7.2, 0.9 + 0.36 * len(shown)), layout="constrained")
    axes = canvas.subplots()
    medians = [figure.median for figure in shown]
    below = [figure.median - min(figure.values) for figure in shown]
    above = [max(figure.values) - figure.median for figure in shown]
    colours = [_OURS if figure.name.startswith("execwatchd") else _OTHERS for figure in shown]
    names = [figure.name for figure in shown]
    axes.barh(names, medians, xerr=[below, above], color=colours, ecolor="#666666", capsize=2)
    for place, figure in enumerate(shown):
        axes.annotate(
            f" {number(figure.median)}",
            (max(figure.values), place),
            va="center",
            color="#222222",
        )
    axes.set_title(f"{title}, {shown[0].unit}", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    canvas.savefig(text, format="svg", metadata={"Date": None})
    first, rest = text.getvalue().split("\n", 1)
    path.write_text(f"{first}\n<!-- SPDX-License-Identifier: GPL-2.0-or-later -->\n{rest}")
