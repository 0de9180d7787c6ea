"""Which differences between two texts the guard calls harmless, and how it names the others."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
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
        (Kind.NUMBER_FORMAT, "It took forty-five minutes", "It took 45 minutes"),
        (Kind.NUMBER_FORMAT, "Esperé treinta y cinco minutos", "Esperé 35 minutos"),
        (Kind.NUMBER_FORMAT, "It sold two million copies", "It sold 2,000,000 copies"),
        (Kind.NUMBER_FORMAT, "It sold 3 million copies", "It sold 3,000,000 copies"),
        (Kind.NUMBER_FORMAT, "It starts at half past seven", "It starts at 7:30"),
        (Kind.NUMBER_FORMAT, "Empieza a las siete y media", "Empieza a las 7:30"),
        (Kind.NUMBER_FORMAT, "Llámame a las 4 de la tarde", "Llámame a las 16:00"),
        (Kind.NUMBER_FORMAT, "Vence el 01/06/2024", "Vence el 1 de junio de 2024"),
        (Kind.CLAUSE_ORDER, "If it rains, we stay", "We stay if it rains"),
        (Kind.CLAUSE_ORDER, "In 1969 they landed there", "They landed there in 1969"),
        (Kind.CLAUSE_ORDER, "Yesterday I lost my keys", "I lost my keys yesterday"),
        (Kind.CLAUSE_ORDER, "Como llovía, nos quedamos", "Nos quedamos porque llovía"),
        (Kind.CLAUSE_ORDER, "Ayer llegó mi paquete", "Llegó mi paquete ayer"),
        (Kind.CLAUSE_ORDER, "Llegó mi paquete", "Mi paquete llegó"),
        (Kind.VOICE, "The dog bit the man", "The man was bitten by the dog"),
        (Kind.VOICE, "Did Ann fix the door?", "Was the door fixed by Ann?"),
        (Kind.VOICE, "The team has won the cup today", "The cup has been won by the team today"),
        (Kind.VOICE, "El perro mordió al cartero", "El cartero fue mordido por el perro"),
        (Kind.VOICE, "El juez anuló la multa", "La multa fue anulada por el juez"),
        (Kind.TYPING, "The recieved item is broken", "The received item is broken"),
        (Kind.TYPING, "El restuarante es caro", "El restaurante es caro"),
        (Kind.SYNONYM, "I got rid of the old sofa", "I disposed of the old couch"),
        (Kind.SYNONYM, "I phoned my bank", "I called my bank"),
        (Kind.SYNONYM, "Han aplazado el concierto", "Han pospuesto el concierto"),
        (Kind.SYNONYM, "Borré la foto", "Eliminé la fotografía"),
        (Kind.REQUEST, "How tall is Ben Nevis?", "What is the height of Ben Nevis?"),
        (Kind.REQUEST, "How do I return it?", "What is the process for returning it?"),
        (Kind.REQUEST, "Tell me where I can park", "Where can I park?"),
        (Kind.REQUEST, "¿Cuánto vale la entrada?", "¿Cuál es el precio de la entrada?"),
        (Kind.REQUEST, "Envíenme la factura", "¿Me pueden enviar la factura?"),
        (Kind.REQUEST, "Quiero que cancelen mi reserva", "Cancelen mi reserva"),
        (Kind.COURTESY, "The app is slow. Kind regards, Ann Lee", "The app is slow"),
        (Kind.COURTESY, "Sorry to bother you, but the app is slow", "The app is slow"),
        (Kind.PUNCTUATION, "Love it 😍😍😍", "Love it 😍"),
        (Kind.PUNCTUATION, "A five-minute walk", "A five minute walk"),
        (Kind.REQUEST, "What is the capital of France?", "The capital of France is what city?"),
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
        (Kind.ORDER, "No entiendo el orden", "No entiendo la orden"),
        (Kind.WORD_REPLACED, "The contract is here", "The contact is here"),
        (Kind.WORD_REPLACED, "Me gusta tu respuesta", "Me gusta tu repuesta"),
        (Kind.WORD_REPLACED, "I want to re-sign", "I want to resign"),
        (Kind.WORD_REPLACED, "La compra fue devuelta", "La compra fue de vuelta"),
        (Kind.NUMBER, "It has one hundred and five pages", "It has 150 pages"),
        (Kind.NUMBER, "Tiene ciento cinco páginas", "Tiene ciento cincuenta páginas"),
        (Kind.DATE_TIME, "It starts at half past seven", "It starts at half past six"),
        (Kind.DATE_TIME, "It ends at 6 in the morning", "It ends at 6 in the evening"),
        (Kind.DATE_TIME, "Vence el 01/06/2024", "Vence el 6 de enero de 2024"),
        (Kind.ORDER, "On Monday he said he would call", "He said he would call on Monday"),
        (Kind.ORDER, "When he sleeps, she works", "When she works, he sleeps"),
        (Kind.ORDER, "9:00 17:00", "17:00 9:00"),
        (Kind.TENSE, "The dog bit the man", "The dog was bitten by the man"),
        (Kind.TENSE, "El perro mordió al gato", "El perro fue mordido por el gato"),
        (Kind.WORD_REPLACED, "He put on his coat", "He took off his coat"),
        (Kind.RELATION, "He turned down the job", "He turned up the job"),
        (Kind.WORD_REPLACED, "How tall is Ben Nevis?", "How old is Ben Nevis?"),
        (Kind.WORD_REPLACED, "¿Cuánto dura la carga?", "¿Cuánto cuesta la carga?"),
        (
            Kind.WORD_REPLACED,
            "How long does a passport take?",
            "How long does a passport last?",
        ),
        (Kind.WORD_REPLACED, "¿Cuánto tarda el permiso?", "¿Cuánto dura el permiso?"),
        (Kind.WORD_REPLACED, "How do I prevent a nosebleed?", "How do I stop a nosebleed?"),
        (Kind.WORD_REPLACED, "How do I cancel my app?", "How do I cancel my application?"),
        (Kind.MODALITY, "No tienes que pagar", "No debes pagar"),
        (Kind.WORD_REPLACED, "Nunca llegó tarde", "Nunca llego tarde"),
        (Kind.LANGUAGE, "Where is my parcel?", "¿Dónde está mi paquete?"),
        (Kind.LENGTH, "word " * MAX_CHARACTERS, "word " * MAX_CHARACTERS + "more"),
        (Kind.NAME, "What is the capital of Spain?", "The capital of France is what city?"),
    ],
)
def test_refused(kind: Kind, one: str, other: str) -> None:
    assert kind in compare(one, other).refused_kinds


DEVELOPMENT: list[dict[str, Any]] = [
    json.loads(line)
    for line in (Path(__file__).parents[3] / "benchmarks" / "cache" / "pairs" / "development.jsonl")
    .read_text("utf-8")
    .splitlines()
]
ACCEPTED = [
    (pair[one], pair[other], pair["lang"])
    for pair in PAIRS + DEVELOPMENT
    if pair["label"] == "hit" and compare(pair["a"], pair["b"]).accepted
    for one, other in (("a", "b"), ("b", "a"))
]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Who is the director of the FBI?", "Who was the director of the FBI?"),
        ("¿Quién es el director del banco?", "¿Quién fue el director del banco?"),
        ("Email the contract to me", "Mail the contract to me"),
    ],
)
def test_what_means_something_else_is_not_accepted(one: str, other: str) -> None:
    assert not compare(one, other).accepted
    assert not compare(other, one).accepted


def test_no_look_alike_of_the_development_half_is_accepted() -> None:
    wrong = [
        (pair["a"], pair["b"])
        for pair in DEVELOPMENT
        if pair["label"] == "refuse" and compare(pair["a"], pair["b"]).accepted
    ]
    assert wrong == []


def test_most_paraphrases_of_the_development_half_are_accepted() -> None:
    """A floor under what the published file says, so that a change of a rule can't lose them."""
    for language in ("en", "es"):
        for difficulty, least in (("easy", 0.85), ("hard", 0.5)):
            verdicts = [
                compare(pair["a"], pair["b"]).accepted
                for pair in DEVELOPMENT
                if pair["lang"] == language and pair["difficulty"] == difficulty
            ]
            assert sum(verdicts) / len(verdicts) >= least, (language, difficulty)


@settings(deadline=None)
@given(st.sampled_from(ACCEPTED), st.data())
def test_a_match_is_lost_with_a_number_a_negation_or_a_word(
    pair: tuple[str, str, str], data: st.DataObject
) -> None:
    one, other, language = pair
    words = other.split(" ")
    at = data.draw(st.integers(0, len(words)))
    inside = max(1, at) if len(words) > 1 else at
    negation = "not" if language == "en" else "no"
    assert not compare(one, " ".join([*words[:inside], negation, *words[inside:]])).accepted
    assert not compare(one, " ".join([*words[:at], "zebra", *words[at:]])).accepted
    figures = [position for position, word in enumerate(words) if word.isdecimal()]
    for position in figures:
        changed = [*words]
        changed[position] = str(int(words[position]) + 1)
        assert not compare(one, " ".join(changed)).accepted


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


@settings(deadline=None)
@given(_TEXTS, _TEXTS)
def test_acceptance_is_symmetric(one: str, other: str) -> None:
    assert compare(one, other).accepted == compare(other, one).accepted


@settings(deadline=None)
@given(st.one_of(st.text(alphabet=st.characters(), max_size=200), _TEXTS))
def test_a_text_matches_itself_and_not_itself_with_a_word_more(text: str) -> None:
    assert compare(text, text).accepted
    assert not compare(text, text + " zebra").accepted
