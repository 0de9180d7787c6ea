"""Which differences between two texts the guard calls harmless, and how it names the others."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstream.cache.guard import MAX_CHARACTERS, Kind, compare

PAIRS: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "data" / "cache" / "pairs.jsonl")
    .read_text("utf-8")
    .splitlines()
]


def test_no_look_alike_of_ours_is_accepted() -> None:
    wrong = [
        (pair["a"], pair["b"])
        for pair in PAIRS
        if pair["label"] == "refuse" and compare(pair["a"], pair["b"]).accepted
    ]
    assert wrong == []


def test_easy_paraphrases_of_ours_are_accepted() -> None:
    seen: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    for pair in PAIRS:
        if pair["label"] == "hit" and pair["category"] != "paraphrase":
            seen[pair["lang"]] += 1
            accepted[pair["lang"]] += compare(pair["a"], pair["b"]).accepted
    assert min(seen.values()) >= 25
    for language, count in seen.items():
        assert accepted[language] / count >= 0.9, language


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Kind.CASING, "The app is SLOW", "The app is slow"),
        (Kind.ACCENT, "El telefono no suena", "El teléfono no suena"),
        (Kind.PUNCTUATION, "It is fast, and light", "It is fast and light!"),
        (Kind.GREETING, "Hi team, the app is slow", "The app is slow"),
        (Kind.COURTESY, "La app no abre. Muchas gracias", "La app no abre"),
        (Kind.REQUEST, "Can you tell me where my parcel is?", "Where is my parcel?"),
        (Kind.FILLER, "In my opinion, the app is slow", "The app is slow"),
        (Kind.CONTRACTION, "The app doesn't open", "The app does not open"),
        (Kind.FUNCTION_WORD, "The app on a phone", "App on the phone"),
        (Kind.INFLECTION, "A dog is chasing the ball", "A dog chases the ball"),
        (Kind.INFLECTION, "El perro está durmiendo", "El perro duerme"),
        (Kind.SPELLING, "My e-mail is wrong", "My email is wrong"),
        (Kind.SYNONYM, "I want to buy a bike", "I want to purchase a bicycle"),
        (Kind.NUMBER_FORMAT, "It costs $20", "It costs twenty dollars"),
        (Kind.NUMBER_FORMAT, "See you at 3 pm", "See you at 15:00"),
        (Kind.CLAUSE_ORDER, "If it rains, we stay", "We stay if it rains"),
    ],
)
def test_harmless(kind: Kind, one: str, other: str) -> None:
    comparison = compare(one, other)
    assert kind in comparison.kinds
    assert comparison.accepted


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Kind.NUMBER, "I ordered 2 tickets", "I ordered 3 tickets"),
        (Kind.NUMBER, "What is new in Python 3.1?", "What is new in Python 3.10?"),
        (Kind.UNIT, "It weighs 5 kg", "It weighs 5 lb"),
        (Kind.CURRENCY, "It costs €50", "It costs $50"),
        (Kind.DATE_TIME, "Wake me at 7 am", "Wake me at 7 pm"),
        (Kind.DATE_TIME, "Llega el 3 de marzo", "Llega el 3 de mayo"),
        (Kind.NEGATION, "I would recommend it", "I would not recommend it"),
        (Kind.NEGATION, "No, quiero cancelar", "No quiero cancelar"),
        (Kind.QUANTIFIER, "All orders arrived", "Some orders arrived"),
        (Kind.QUANTIFIER, "Few people like it", "A few people like it"),
        (Kind.MODALITY, "I can pay by card", "I must pay by card"),
        (Kind.PERSON, "Is my card safe?", "Is your card safe?"),
        (Kind.TENSE, "My account was open", "My account is open"),
        (Kind.RELATION, "The flight to Lima", "The flight from Lima"),
        (Kind.NAME, "The capital of Austria", "The capital of Australia"),
        (Kind.NAME, "I spoke to Mr Williams", "I spoke to Mr William"),
        (Kind.CODE, "How do I sort in C?", "How do I sort in C++?"),
        (Kind.WORD_REPLACED, "She is slicing an onion", "She is slicing a tomato"),
        (Kind.WORD_ADDED, "The phone is great", "The phone case is great"),
        (Kind.WORD_REMOVED, "The phone case is great", "The phone is great"),
        (Kind.OPPOSITE, "How do I enable alerts?", "How do I disable alerts?"),
        (Kind.ORDER, "The dog bit the man", "The man bit the dog"),
        (Kind.ORDER, "A red dog and a cat", "A red cat and a dog"),
        (Kind.QUESTION, "You are open.", "You are open?"),
        (Kind.SYMBOL, "What is 2+2?", "What is 2*2?"),
        (Kind.EMOJI, "Buen producto 👍", "Buen producto 👎"),
        (Kind.LANGUAGE, "Where is my parcel?", "¿Dónde está mi paquete?"),
        (Kind.LENGTH, "word " * MAX_CHARACTERS, "word " * MAX_CHARACTERS + "more"),
    ],
)
def test_refused(kind: Kind, one: str, other: str) -> None:
    assert kind in compare(one, other).refused_kinds


def test_other_languages_match_only_when_their_words_do() -> None:
    assert compare("Das ist gut", "das ist gut!").accepted
    assert not compare("Das ist gut", "Das ist nicht gut").accepted
    assert not compare("日本の首都は", "中国の首都は").accepted


_WORDS = """hi please the a my is are do does not never two 2 3 pm may 12 kg $ % € , . ? ! ... and
or if when what how do i to can you tell me want it's don't hola por favor no el la mi está cortando
como puedo que quiero sí si y de del dog cat email e-mail C++ `x` 😀 this that thanks gracias on
monday"""
_FRAGMENTS = st.sampled_from([*_WORDS.split(), "\n"])
_TEXTS = st.one_of(st.text(max_size=80), st.lists(_FRAGMENTS, max_size=12).map(" ".join))


@given(_TEXTS, _TEXTS)
def test_acceptance_is_symmetric(one: str, other: str) -> None:
    assert compare(one, other).accepted == compare(other, one).accepted


@given(st.one_of(st.text(alphabet=st.characters(), max_size=200), _TEXTS))
def test_a_text_matches_itself_and_not_itself_with_a_word_more(text: str) -> None:
    assert compare(text, text).accepted
    assert not compare(text, text + " zebra").accepted
