"""How people write one thing in two ways every day, and what comes close and is another thing.

Each table stands for one rule of the guard: what it lets through, and its nearest look-alikes.
"""

import pytest

from eventstream.cache.guard import Kind, compare
from eventstream.cache.guard.spelling import american, sound_alike
from eventstream.cache.guard.typing_slips import Slips

HARMLESS = {
    "shorthand": [
        ("Do u know when my pkg arrives? thx", "Do you know when my package arrives? Thanks"),
        ("idk why it crashed", "I don't know why it crashed"),
        ("q hora es?", "¿Qué hora es?"),
        ("xfa manden la factura, tmb el ticket", "Por favor manden la factura, también el ticket"),
    ],
    "contraction": [
        ("My phone's been stolen", "My phone has been stolen"),
        ("The app's not working", "The app is not working"),
        ("You'd better call", "You had better call"),
        ("I've got a problem with my card", "I have a problem with my card"),
    ],
    "courtesy": [
        ("Thanks so much for your quick help, where is my order?", "Where is my order?"),
        ("Where is my order? Looking forward to your reply.", "Where is my order?"),
        ("I'd really appreciate it if you could send me the invoice", "Please send me the invoice"),
        ("Hola, espero que estén muy bien. ¿Cuándo llega mi pedido?", "¿Cuándo llega mi pedido?"),
        ("¿Cuándo llega mi pedido? Muchas gracias por su atención", "¿Cuándo llega mi pedido?"),
    ],
    "filler": [
        ("It's, like, really slow", "It's really slow"),
        ("So, um, I can't log in", "I can't log in"),
        ("Pues nada, no me funciona la app", "No me funciona la app"),
        ("Oye, o sea, no funciona", "No funciona"),
    ],
    "emoji": [
        ("The delivery was terrible 😡😡", "The delivery was terrible"),
        ("Me encantó el hotel ❤️", "Me encantó el hotel"),
        ("Great service 😊", "Great service"),
        ("We arrived at the beach 🏖️", "We arrived at the beach"),
        ("My parcel is not here 📦", "My parcel is not here"),
    ],
    "typing": [
        ("I can't acess my accont", "I can't access my account"),
        ("Tengo un problema con la vateria", "Tengo un problema con la batería"),
        ("No entiendo a la jente", "No entiendo a la gente"),
        ("What color is the car?", "What colour is the car?"),
        ("I was travelling to the centre", "I was traveling to the center"),
    ],
    "amount": [
        ("I waited two weeks", "I waited 14 days"),
        ("It takes an hour and a half", "It takes 1.5 hours"),
        ("The meeting is at 8 o'clock", "The meeting is at eight"),
        ("La reunión es a las 20:00", "La reunión es a las 20"),
        ("It costs $20.00", "It costs $20"),
        ("It costs £5", "It costs 5 quid"),
        ("My salary is $50k", "My salary is $50,000"),
        ("It expires on 3/14/2024", "It expires on 14 March 2024"),
    ],
    "order": [
        ("The app constantly crashes", "The app crashes constantly"),
        ("¿Ha llegado mi pedido?", "¿Mi pedido ha llegado?"),
        ("¿Está abierta la tienda?", "¿La tienda está abierta?"),
        ("Se me rompió la pantalla ayer", "Ayer se me rompió la pantalla"),
        ("No funciona la aplicación desde el lunes", "La aplicación no funciona desde el lunes"),
    ],
    "voice": [
        ("They cancelled my flight", "My flight was cancelled"),
        ("They stole my bike yesterday", "My bike was stolen yesterday"),
        ("Last night our fence was hit by a car", "A car hit our fence last night"),
        ("Cancelaron mi vuelo", "Mi vuelo fue cancelado"),
    ],
    "converse": [
        ("Ann sold the car to Bob", "Bob bought the car from Ann"),
        ("My sister lent the bike to my cousin", "My cousin borrowed the bike from my sister"),
        ("The red box is heavier than the blue one", "The blue one is lighter than the red box"),
        ("La mesa es más alta que la silla", "La silla es más baja que la mesa"),
        ("El gato está encima de la mesa", "La mesa está debajo de el gato"),
    ],
    "existence": [
        ("There are too many ads in this app", "This app has too many ads"),
        ("No hay agua caliente en la ducha", "La ducha no tiene agua caliente"),
    ],
}
LOOK_ALIKES = {
    "shorthand": [
        ("Do u know when my pkg arrives?", "Do I know when my package arrives?"),
        ("No sé xq no funciona", "No sé para qué no funciona"),
    ],
    "contraction": [
        ("My brother's car is broken", "My brother has a broken car"),
        ("The app's not working", "The apps are working"),
        ("He'd been here", "He would be here"),
    ],
    "courtesy": [
        ("Thanks for nothing, where is my order?", "Where is my order?"),
        ("I hope you refund me. Where is my order?", "Where is my order?"),
        ("Sorry to cancel, but the app is slow", "The app is slow"),
        ("Gracias por cancelar mi pedido. ¿Cuándo llega?", "¿Cuándo llega?"),
        ("Espero que me devuelvan el dinero", "Espero que estén bien"),
    ],
    "filler": [
        ("No funciona", "No sé si funciona"),
        ("It looks like a dog", "It looks a dog"),
    ],
    "emoji": [
        ("Buen producto 👍", "Buen producto 👎"),
        ("Not good 👍", "Not good"),
        ("Great, another delay 🙄", "Great, another delay"),
        ("Good food but slow service 👍", "Good food but slow service"),
        ("Me encantó el hotel 💔", "Me encantó el hotel"),
    ],
    "typing": [
        ("Me gusta tu casa", "Me gusta tu caza"),
        ("Tuvo un accidente en la casa", "Tubo un accidente en la casa"),
        ("El perro es caro", "El pero es caro"),
        ("Hay que cocer el pan", "Hay que coser el pan"),
        ("We travel a lot", "We gravel a lot"),
    ],
    "amount": [
        ("I waited two weeks", "I waited 15 days"),
        ("It takes 48 hours", "It takes two weeks"),
        ("The meeting is at 8", "The meeting is at 9"),
        ("I need a table for 8", "I need a table at 8"),
        ("What happened on 05/06/2021?", "What happened on 06/05/2021?"),
        ("It costs £5", "It weighs 5 lb"),
        ("It takes a month", "It takes 30 days"),
        ("What is new in version 3.1?", "What is new in version 3.10?"),
    ],
    "order": [
        ("He said yesterday he would come", "He said he would come yesterday"),
        ("He left now and she stayed", "He left and she stayed now"),
        ("The meeting was moved on Monday", "The meeting on Monday was moved"),
        ("El perro mordió al gato", "Al perro mordió el gato"),
        ("Mordió el perro al gato", "El gato mordió al perro"),
        ("El camarero insultó al cliente", "El cliente insultó al camarero"),
        ("Es un hombre pobre", "Es un pobre hombre"),
    ],
    "voice": [
        ("He stole my bike", "My bike was stolen"),
        ("They were fired", "They fired"),
        ("They bit the man", "The dog was bitten"),
        ("Canceló mi vuelo", "Mi vuelo fue cancelado"),
        ("They cancel my flight", "My flight was cancelled"),
    ],
    "converse": [
        ("Ann sold the car to Bob", "Ann bought the car from Bob"),
        ("My sister lent the bike to my cousin", "My cousin lent the bike to my sister"),
        ("The red box is heavier than the blue one", "The blue one is heavier than the red box"),
        ("La mesa es más alta que la silla", "La silla es más alta que la mesa"),
        ("El gato está encima de la mesa", "El gato está debajo de la mesa"),
    ],
    "existence": [
        ("There are too many ads in this app", "This app has too few ads"),
        ("Does the room have Wi-Fi?", "The room has Wi-Fi."),
        ("Hay agua caliente en la ducha", "La ducha no tiene agua caliente"),
    ],
}


@pytest.mark.parametrize(("one", "other"), [pair for pairs in HARMLESS.values() for pair in pairs])
def test_everyday_differences_are_harmless(one: str, other: str) -> None:
    assert compare(one, other).refused_kinds == ()
    assert compare(other, one).refused_kinds == ()


@pytest.mark.parametrize(
    ("one", "other"), [pair for pairs in LOOK_ALIKES.values() for pair in pairs]
)
def test_their_look_alikes_are_refused(one: str, other: str) -> None:
    assert not compare(one, other).accepted
    assert not compare(other, one).accepted


def test_each_rule_is_tested_both_ways() -> None:
    assert HARMLESS.keys() == LOOK_ALIKES.keys()


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (Kind.SPELLING, "Do u like it?", "Do you like it?"),
        (Kind.TYPING, "The recieved item is broken", "The received item is broken"),
        (Kind.NUMBER_FORMAT, "I waited two weeks", "I waited 14 days"),
        (Kind.CLAUSE_ORDER, "El paquete no llegó ayer", "No llegó el paquete ayer"),
        (Kind.VOICE, "They cancelled my flight", "My flight was cancelled"),
        (Kind.PUNCTUATION, "We love it ❤️", "We love it"),
    ],
)
def test_the_difference_is_named(kind: Kind, one: str, other: str) -> None:
    assert kind in compare(one, other).kinds


def test_a_slip_of_several_words_is_nobody_s() -> None:
    slips = Slips(frozenset({"account", "acrount"}), frozenset())

    assert slips.meant("accont") == "account"
    assert slips.meant("ac0ount") == "ac0ount"
    assert slips.meant("zebra") == "zebra"


@pytest.mark.parametrize(
    ("british", "us"),
    [
        ("neighbours", "neighbors"),
        ("theatre", "theater"),
        ("labelled", "labeled"),
        ("four", "four"),
    ],
)
def test_american_spelling(british: str, us: str) -> None:
    assert american(british) == us


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("enpezar", "empezar", True),
        ("condisiones", "condiciones", True),
        ("casa", "caza", False),
        ("perro", "pero", False),
        ("cámara", "chamarra", False),
        ("hablo", "habló", False),
    ],
)
def test_spanish_by_ear(one: str, other: str, alike: bool) -> None:
    assert sound_alike(one, other) is alike
