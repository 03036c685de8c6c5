# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from execwatchd.kernel.loader import _verdict


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (["/virtual/main.c:3:1: error: unknown type name 'u65'", "1 error generated."],
         "/virtual/main.c:3:1: error: unknown type name 'u65'"),
        (["0: R1=ctx()", "R2 invalid mem access 'scalar'", "processed 9 insns", "libbpf: -- END --"],
         "R2 invalid mem access 'scalar' / processed 9 insns"),
        ([], ""),
    ],
)  # fmt: skip
def test_what_the_compiler_or_the_verifier_said(lines: list[str], verdict: str) -> None:
    assert _verdict(lines) == verdict
