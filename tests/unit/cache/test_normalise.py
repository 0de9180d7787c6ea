"""What an exact cache key folds, and what it must not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstream.cache.normalise import exact_key_text


@pytest.mark.parametrize(
    ("story", "one", "other"),
    [
        ("letter case", "Where is my ORDER", "where is my order"),
        ("a final full stop", "The parcel arrived.", "The parcel arrived"),
        ("composed and decomposed accents", "canci\u00f3n", "cancio\u0301n"),
        ("a soft hyphen", "co\u00adoperate", "cooperate"),
        ("a zero-width space", "hello\u200b world", "hello world"),
        ("runs of spaces", "hello    world", "hello world"),
        ("a no-break space", "hello\u00a0world", "hello world"),
        ("spaces around", "  hello world \n", "hello world"),
        ("spaces at the end of a line", "hello  \nworld", "hello\nworld"),
        ("line break styles", "hello\r\nworld", "hello\nworld"),
        ("a code in capitals", "Where is AB-123?", "where is ab-123?"),
        ("a capital at the beginning of a code", "Covid19 test", "covid19 test"),
        ("a unit in capitals", "5 MB are left", "5 mb are left"),
        ("a unit that no other looks like", "20 Eur", "20 EUR"),
        ("curly quotes", "\u201cit\u2019s\u201d", '"it\'s"'),
    ],
)
def test_folds(story: str, one: str, other: str) -> None:
    assert exact_key_text(one) == exact_key_text(other), story


@pytest.mark.parametrize(
    ("story", "one", "other"),
    [
        ("a question mark", "You are open?", "You are open"),
        ("an ellipsis", "Great...", "Great"),
        ("emoji", "Great 😀", "Great"),
        ("accents", "si", "sí"),
        ("ñ", "año", "ano"),
        ("symbols", "C++", "C"),
        ("indentation", "if x:\n    a\n    b", "if x:\n    a\nb"),
        ("line breaks", "a\nb", "a b"),
        ("joined emoji", "👨\u200d👩", "👨👩"),
        ("sharp s", "in Maße", "in Masse"),
        ("full-width digits", "１", "1"),
        ("the case inside an address", "see bit.ly/3xYzQ1", "see bit.ly/3XyZq1"),
        ("the case inside a code", "token aB3dEf9", "token Ab3DeF9"),
        ("milli and mega", "It draws 5 mW", "It draws 5 MW"),
        ("bits and bytes", "5Mb are left", "5MB are left"),
        ("an empty field between tabs", "Ann\t\t30", "Ann\t30"),
        ("a tab and a space", "Ann\t30", "Ann 30"),
        ("a separator that can't be seen", "12\x1f34", "1234"),
        ("where a separator stands", "1\x0123", "12\x013"),
        ("a separator that Python takes for a space", "12\x1f34", "12 34"),
    ],
)
def test_keeps_apart(story: str, one: str, other: str) -> None:
    assert exact_key_text(one) != exact_key_text(other), story


def test_a_lone_full_stop_stays() -> None:
    assert exact_key_text(".") == "."


@given(st.text(alphabet=st.characters(), max_size=60))
def test_a_second_pass_changes_nothing(text: str) -> None:
    once = exact_key_text(text)
    assert exact_key_text(once) == once
