"""Whether two answers say the same."""

import pytest

from eventstream.cache.agreement import AnswerForm, agree


@pytest.mark.parametrize(
    ("form", "one", "other", "same"),
    [
        ("label", "billing", "billing", True),
        ("label", "billing", "Billing", False),  # labels come as the stream writes them
        ("json", '{"a": 1, "b": [2]}', '{"b": [2], "a": 1}', True),
        ("json", '{"a": 1}', '{"a": 2}', False),
        ("json", '{"a": 1}', "not JSON", False),
        ("json", "not JSON", "nor this", False),
        ("prose", "It ships on Monday.", "It ships on Monday", True),
        ("prose", "Hello, it ships on Monday", "It ships on Monday!", True),
        ("prose", "It ships on Monday.", "It ships on Tuesday.", False),
        ("prose", "It ships in 2 days.", "It does not ship in 2 days.", False),
        ("prose", "It ships on Monday.", "Monday is when it leaves our store.", False),
    ],
)
def test_answers(form: AnswerForm, one: str, other: str, same: bool) -> None:
    assert agree(form, one, other) is same
    assert agree(form, other, one) is same
