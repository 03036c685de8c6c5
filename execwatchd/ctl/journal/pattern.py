# SPDX-License-Identifier: GPL-2.0-or-later
"""A regular expression as RE2 has it, whose time is linear to the text: whoever executes chooses the text."""

import re2


class Pattern:
    """Matches anywhere in bytes; as with journalctl, case counts only if the pattern has a capital letter."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        options = re2.Options()
        options.log_errors = False
        options.case_sensitive = text.lower() != text
        try:
            self._search = re2.compile(text.encode(errors="surrogateescape"), options).search
        except re2.error as error:
            raise ValueError(error.args[0].decode(errors="replace")) from None

    def is_in(self, text: bytes) -> bool:
        """Whether a part of the text matches."""
        return self._search(text) is not None
