"""Numbers as people read them."""

from __future__ import annotations

import pytest

from loopsphere.wording import counted, is_or_are, shown_p


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 loops"), (1, "1 loop"), (2, "2 loops"), (20_000, "20,000 loops")]
)
def test_numbers_have_their_noun(number: int, said: str) -> None:
    assert counted(number, "loop", "loops") == said


def test_numbers_have_their_verb() -> None:
    assert [is_or_are(number) for number in (0, 1, 2)] == ["are", "is", "are"]


@pytest.mark.parametrize(
    ("p_value", "said"),
    [(1.0, "1.000"), (0.05, "0.050"), (1 / 301, "0.003"), (1 / 20_001, "0.00005"), (4e-8, "0.00000004")],
)
def test_no_p_value_reads_as_zero(p_value: float, said: str) -> None:
    assert shown_p(p_value) == said
