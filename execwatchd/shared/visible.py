# SPDX-License-Identifier: GPL-2.0-or-later
"""Which characters of a text can be seen, each as itself.

Python's str.isprintable() rejects control and format characters, separators, private and unassigned code
points. It accepts what a terminal draws as nothing, such as the Hangul fillers, and any number of combining
marks, which pile up in one cell.
"""

import re
from unicodedata import category

# Default_Ignorable_Code_Point of Unicode 16, DerivedCoreProperties.txt: drawn as nothing where not supported.
_IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# Whose glyph is blank: in braille, in hieroglyphs (Unicode 15), in the Khitan script and in music.
_BLANK = "\u2800\U00013441\U00013442\U00016fe4\U0001d159"
# The scripts that are written from right to left: they can reorder what stands beside them.
_RIGHT_TO_LEFT = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff\U00010800-\U00010fff\U0001e800-\U0001efff"
MAX_MARKS = 8  # combining marks on one character; written languages need fewer
_find_empty = re.compile(f"[{_IGNORABLE}{_BLANK}]").search
_find_perhaps_mark = re.compile("[\u0300-\U0010ffff]").search  # the first combining mark, and all behind it
_find_right_to_left = re.compile(f"[{_RIGHT_TO_LEFT}]").search
# In the categories of a text, two letters each: an M is always the first of Mn, Mc or Me.
_find_too_many_marks = re.compile(f"(?:M[nce]){{{MAX_MARKS + 1}}}").search


def is_visible(text: str) -> bool:
    """Whether every character shows, with at most MAX_MARKS combining marks in a row."""
    if text.isascii() or not text.isprintable():
        return text.isprintable()
    return not (_find_empty(text) or (_find_perhaps_mark(text) and _find_too_many_marks(_categories(text))))


def invisible(text: str) -> set[str]:
    """The characters to escape: those that don't show, and the marks where too many follow one another."""
    hidden = {c for c in set(text) if not c.isprintable() or _find_empty(c)}
    if _find_too_many_marks(_categories(text)):
        hidden |= {c for c in set(text) if category(c)[0] == "M"}
    return hidden


def has_right_to_left(text: str) -> bool:
    """Whether a terminal may show parts of the text in another order than they have."""
    return bool(_find_right_to_left(text))


def _categories(text: str) -> str:
    return "".join(map(category, text))
