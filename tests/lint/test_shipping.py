# SPDX-License-Identifier: GPL-2.0-or-later
"""Each recipe says whether it was run, its page says the same, and those that were are tested."""

import re
from pathlib import Path

import pytest

from tests.lint.test_style import REPOSITORY

RECIPES = sorted((REPOSITORY / "contrib/shipping").iterdir())
PAGE = (REPOSITORY / "docs/shipping.md").read_text()
TESTS = (REPOSITORY / "tests/packages/test_shipping.py").read_text()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_tested_or_says_that_it_was_not_run(recipe: Path) -> None:
    (row,) = re.findall(rf"^\| .*`{re.escape(recipe.name)}`.*$", PAGE, re.MULTILINE)
    text = recipe.read_text()
    if "NOT RUN: written by the documentation of" in text:
        assert "**not run**" in row
    else:
        assert re.search(r"Run\s+(?:# )?with", text)
        assert re.search(r"\| [\d., ]+ \| exact \|", row)
        assert f"/{recipe.name}" in TESTS
