"""Sentences of courtesy at the edges of a text: seen without reading what both texts say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstream.cache.guard import compare
from eventstream.cache.guard.analysis import courtesies_in
from eventstream.cache.guard.edges import (
    _PIECE,
    _courtesies_in,
    _says_something,
    _tokens_at_most,
)
from eventstream.cache.guard.english import ENGLISH
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon
from eventstream.cache.guard.spanish import SPANISH
from eventstream.cache.guard.tokens import Token, tokenise
from eventstream.cache.normalise import clean_text

TEXT = "My parcel is two days late and the shop does not answer."


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was looked through for courtesies, in order."""
    _courtesies_in.cache_clear()
    pieces: list[str] = []

    def recorded(tokens: list[Token], lexicon: Lexicon) -> object:
        pieces.append(" ".join(token.text for token in tokens))
        return courtesies_in(tokens, lexicon)

    monkeypatch.setattr("eventstream.cache.guard.edges.courtesies_in", recorded)
    return pieces


@pytest.mark.parametrize(
    ("a", "b", "kind"),
    [
        (f"Hello! {TEXT}", TEXT, Kind.GREETING),
        (TEXT, f"{TEXT} Thanks in advance!", Kind.COURTESY),
        (f"Good morning. {TEXT} Kind regards, Ana", TEXT, Kind.COURTESY),
        (f"Hi there.\n{TEXT}", TEXT, Kind.GREETING),
        (f"{TEXT} Thank you :)", TEXT, Kind.COURTESY),
        (f"{TEXT} Thanks! 🙏", TEXT, Kind.COURTESY),
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
        ("Translate the next sentence.\nGood morning.", "Translate the next sentence."),
        ("What does this mean in Spanish? Good morning!", "What does this mean in Spanish?"),
        ("Traduce la frase siguiente.\nBuenos días.", "Traduce la frase siguiente."),
        ("What is the sender's name? Regards, Tom", "What is the sender's name?"),
        ("Extract the signature.\nKind regards, Anna Miller", "Extract the signature."),
        ("Hi Anna! Who is this message for?", "Who is this message for?"),
        ("¿Quién firma? Un saludo, Ana", "¿Quién firma?"),
        (f"Thanks! 😀 {TEXT}", TEXT),
        (f"{TEXT} :)", TEXT),
        (f"{TEXT} Thanks 😡", TEXT),
        ("Goodbye, the shop is closed.\n...", "Goodbye, the shop is closed."),
        ("Perdón por la molestia.\t- a\n- b", "\t- a\n- b"),
    ],
)
def test_anything_else_around_it_is_not(a: str, b: str) -> None:
    assert not compare(a, b).accepted
    assert not compare(b, a).accepted


def test_what_both_texts_say_is_not_read(read: list[str]) -> None:
    long = " ".join(TEXT.replace("parcel", thing) for thing in ("parcel", "letter", "chair"))

    assert compare(f"Hello! {long} Thanks.", long).accepted
    assert read == ["Hello !", "Thanks ."]


def test_a_short_text_is_not_read_where_its_words_tell(read: list[str]) -> None:
    assert compare(f"Hello! {TEXT}", TEXT).accepted
    assert compare("¡Hola! La tienda cobra dos veces.", "La tienda cobra dos veces.").accepted
    assert read == ["Hello !", "¡ Hola !"]


@pytest.mark.parametrize("lexicon", [ENGLISH, SPANISH], ids=["English", "Spanish"])
def test_no_courtesy_is_taken_for_more_by_its_words(lexicon: Lexicon) -> None:
    phrases = {
        " ".join(phrase.words)
        for seconds in lexicon.phrases.values()
        for entries in seconds.values()
        for phrase in entries
        # A tenth of the synonyms, and all others.
        if phrase.kind is not Kind.SYNONYM or sum(map(ord, phrase.words[-1])) % 10 == 0
    }
    frames = ("{}", "Hello, {}. Hola, {}.", "Thanks for the {}. Gracias por el {}.", "{}, please")
    texts = [
        frames[number % len(frames)].format(phrase, phrase)
        for number, phrase in enumerate(sorted(phrases))
    ]
    courtesies = [
        text for text in texts if courtesies_in(tokenise(text, 200) or [], lexicon) is not None
    ]

    taken = [text for text in courtesies if _says_something(_PIECE.findall(text), lexicon)]

    assert len(courtesies) > 200
    assert taken == []


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


@given(st.text(alphabet=st.sampled_from("ab8_.,:-'+@#/ \n\t!?é²🙏)"), max_size=60))
def test_a_text_has_no_more_tokens_than_its_pieces_allow(text: str) -> None:
    clean = clean_text(text)

    assert tokenise(clean, _tokens_at_most(_PIECE.findall(clean))) is not None


def test_a_text_of_too_many_tokens_is_refused_with_its_courtesy_too() -> None:
    long = " ".join(["The shop never answered."] * 60)

    assert compare(f"Hello! {long}", long).kinds == {Kind.LENGTH}
