"""Sentences of courtesy at the edges of a text: seen without reading what both texts say."""

import pytest

from eventstream.cache.guard import compare
from eventstream.cache.guard.analysis import courtesies_in
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon
from eventstream.cache.guard.tokens import Token

TEXT = "My parcel is two days late and the shop does not answer."


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        (f"Hello! {TEXT}", TEXT, Kind.GREETING),
        (TEXT, f"{TEXT} Thanks in advance!", Kind.COURTESY),
        (f"Good morning. {TEXT} Kind regards, Ana", TEXT, Kind.COURTESY),
        (f"Hi there.\n{TEXT}", TEXT, Kind.GREETING),
        ("¡Hola! No me llega el correo.", "No me llega el correo.", Kind.GREETING),
        (
            "Hello! Sorry to bother you again, but the link is still broken.",
            "Sorry to bother you again, but the link is still broken.",
            Kind.GREETING,
        ),
    ],
)
def test_courtesies_around_a_text_are_harmless(a: str, b: str, kind: Kind) -> None:
    for comparison in (compare(a, b), compare(b, a)):
        assert comparison.accepted
        assert kind in comparison.kinds


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (f"{TEXT} Cancel it.", TEXT),
        (f"Not true! {TEXT}", TEXT),
        (f"{TEXT} Not.", TEXT),
        (f"Hello! {TEXT} {TEXT}", TEXT),
        ("Is it late? No.", "Is it late?"),
        ("It is late. It was late.", "It was late."),  # What they share is only a part.
        ("Hello! Anything else.", "Hello!"),
        ("Hola! No.", "Hola!"),
        ("Thanks! The parcel is late.", "The parcel is late? Thanks!"),
    ],
)
def test_anything_else_around_it_is_not(a: str, b: str) -> None:
    assert not compare(a, b).accepted
    assert not compare(b, a).accepted


def test_what_both_texts_say_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def recorded(tokens: list[Token], lexicon: Lexicon) -> object:
        read.append(" ".join(token.text for token in tokens))
        return courtesies_in(tokens, lexicon)

    monkeypatch.setattr("eventstream.cache.guard.edges.courtesies_in", recorded)
    long = " ".join(TEXT.replace("parcel", thing) for thing in ("parcel", "letter", "chair"))

    assert compare(f"Hello! {long} Thanks.", long).accepted
    assert read == ["Hello !", "Thanks ."]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Translate to French: good night", "Translate to French: bye"),
        ("Translate: see you soon", "Translate: take care"),
        ("Translate to Spanish: thank you", "Translate to Spanish: please"),
        ("Correct this sentence: thanks in advance", "Correct this sentence: please"),
        ("Traduce al francés: gracias", "Traduce al francés: un saludo"),
    ],
)
def test_behind_a_colon_a_courtesy_is_what_is_spoken_of(a: str, b: str) -> None:
    assert not compare(a, b).accepted
    assert not compare(b, a).accepted
