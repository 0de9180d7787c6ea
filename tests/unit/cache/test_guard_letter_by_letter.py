"""What is read letter by letter, field by field: its case and its separators are part of it."""

import pytest

from eventstream.cache.guard import compare


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("The pump draws 5 MW of power", "The pump draws 5 mW of power"),
        ("I have 5 MB left on my plan", "I have 5 Mb left on my plan"),
        ("I have 5MB left on my plan", "I have 5Mb left on my plan"),
        ("My line gives 30 Mbps", "My line gives 30 MBps"),
        ("the token aB3dEf9 fails", "the token Ab3DeF9 fails"),
        ("please see bit.ly/3xYzQ1", "please see bit.ly/3XyZq1"),
        ("Ann\t\t30\tactive", "Ann\t30\tactive"),
        ("Ann\t30\tactive", "Ann 30 active"),
        ("user 12\x1f34 is blocked", "user 1\x1f234 is blocked"),
    ],
)
def test_another_letter_or_field_is_another_text(a: str, b: str) -> None:
    assert not compare(a, b).accepted
    assert not compare(b, a).accepted


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("My order AB-123 is late", "my order ab-123 is late"),
        ("I have 5 MB left on my plan", "I have 5 mb left on my plan"),
        ("The box weighs 3 KG", "The box weighs 3 kg"),
        ("I paid 20 EUR", "I paid 20 eur"),
    ],
)
def test_capitals_throughout_are_only_loud(a: str, b: str) -> None:
    assert compare(a, b).accepted
