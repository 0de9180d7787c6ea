"""Pairs that nearly say the same: another number, another scope, another sense of one word.

Each stands for a rule that once went too far. None of them may ever share an answer, and the
verdict on a pair depends on nothing that was compared before it.
"""

import pytest

from eventstream.cache.guard import compare

LOOK_ALIKES = {
    "amount": [
        ("Cuesta 1.500 euros", "Cuesta 1.5 euros"),
        ("Cuesta 1.500 €", "Cuesta 1.5 €"),
        ("I lost 20 pounds", "I lost £20"),
        ("I lost 20 pounds", "I lost 20 quid"),
        ("I need a 4K monitor", "I need a 4000 monitor"),
        ("I ran 5k", "I ran 5000"),
        ("Abren las 24 horas", "Abren las 24"),
        ("Trabajo las 8 horas", "Trabajo las 8"),
        ("A las 24 horas contestaron", "A las 24 contestaron"),
        ("Contestaron a las 24 h", "Contestaron a las 24"),
        ("Llegó a las 2 de la noche", "Llegó a las 14:00"),
        ("Llegó a las 12 de la noche", "Llegó a las 12:00 pm"),
        ("Llegó a las 12 de la mañana", "Llegó a las 00:00"),
        ("¿Abren el lunes?", "¿Abren los lunes?"),
        ("¿Abren el viernes?", "¿Abren los viernes?"),
    ],
    "code": [
        ("The part 5abcde is bad", "The part 5 abcde is bad"),
        ("The part 5recieved is bad", "The part 5 recieved is bad"),
        ("I use a 5xlarge", "I use a 5 xlarge"),
        ("The part 5acount is bad", "The part 5 acount is bad"),
    ],
    "typing": [
        ("El niño estaba asustado", "El niño estaba ajustado"),
        ("I like the paintings", "I like the printings"),
        ("Ana está contesta", "Ana está contenta"),
        ("Ana contesta", "Ana contenta"),
        ("Está confirmado", "Está confirmando"),
        ("The radio was retuned", "The radio was returned"),
        ("La empresa ayudada", "La empresa ayudaba"),
        ("No convierto nada", "No concierto nada"),
        ("Está comiendo", "Está comienzo"),
        ("Me ha gustado", "Me ha gastado"),
        ("Ana lo expuso", "Ana lo expulso"),
        ("El local fue demorado", "El local fue decorado"),
        ("Lo he recordado", "Lo he recortado"),
        ("Ana la revisa", "Ana la revista"),
        ("Ana perdona", "Ana persona"),
        ("No permito eso", "No permiso eso"),
        ("La caja desecha", "La caja derecha"),
        ("No busque más", "No bosque más"),
        ("Mi viajo", "Mi viejo"),
        ("No parare nunca", "No pasare nunca"),
        ("No pasare nunca", "No pagare nunca"),
        ("Yo edifico mucho", "Yo edificio mucho"),
    ],
    "order": [
        ("No siempre contestan", "Siempre no contestan"),
        ("The app doesn't constantly crash", "The app constantly doesn't crash"),
        ("It does not automatically renew", "It automatically does not renew"),
        ("It did not immediately stop", "It immediately did not stop"),
        ("They do not regularly reply", "They regularly do not reply"),
        ("I did not also pay", "I also did not pay"),
        ("I already did not pay", "I did not already pay"),
        ("Todavía no he pagado", "No he todavía pagado"),
        ("I sell daily contact lenses", "I sell contact lenses daily"),
        ("Daily contact lenses", "Contact lenses daily"),
        ("Monday deliveries stopped", "Deliveries stopped Monday"),
        ("Is breakfast served daily?", "Is daily breakfast served?"),
        ("The recently renovated hotel closed", "The renovated hotel closed recently"),
        ("Recently renovated hotels closed", "Renovated hotels closed recently"),
        ("The temporarily closed shop moved", "The closed shop moved temporarily"),
        ("The automatically renewed plan ended", "The renewed plan ended automatically"),
        ("I bought automatically renewed plans", "I automatically bought renewed plans"),
        ("El hotel recientemente renovado cerró", "El hotel renovado cerró recientemente"),
        ("I want to cancel tomorrow", "Tomorrow I want to cancel"),
        ("I want to cancel on Monday", "On Monday I want to cancel"),
        ("I asked to be paid today", "Today I asked to be paid"),
        ("I tried calling yesterday", "Yesterday I tried calling"),
        ("He denied stealing it yesterday", "Yesterday he denied stealing it"),
        ("They let me leave today", "Today they let me leave"),
        ("The car you sold me yesterday broke", "Yesterday the car you sold me broke"),
        ("I almost immediately paid", "I immediately almost paid"),
        ("No funciona siempre", "Siempre no funciona"),
        ("Solo llegó el pedido", "El pedido solo llegó"),
        ("No llegaron todos los pedidos", "Todos los pedidos no llegaron"),
        ("I did not go because it rained", "Because it rained I did not go"),
        ("No fui porque llovía", "Porque llovía no fui"),
        ("I called and she left yesterday", "Yesterday I called and she left"),
        ("When he comes, I want to leave", "I want to leave when he comes"),
        ("Quiero cancelar mañana", "Mañana quiero cancelar"),
        ("Quiero cancelar el lunes", "El lunes quiero cancelar"),
        ("También Ana llamó ayer", "Ana llamó también ayer"),
        ("Compró la empresa", "La empresa compró"),
        ("Demandó la empresa", "La empresa demandó"),
        ("Ganó la lotería", "La lotería ganó"),
        ("Perdió el equipo", "El equipo perdió"),
        ("Vendió la empresa", "La empresa vendió"),
        ("No recomienda el hotel", "El hotel no recomienda"),
        ("No encontró el técnico", "El técnico no encontró"),
    ],
    "voice": [
        ("The shop was closed", "They closed the shop"),
        ("The couple was married", "They married the couple"),
        ("The man was tired", "They tired the man"),
        ("The game was lost", "They lost the game"),
        ("The window was broken", "They broke the window"),
        ("The window was broken", "Someone broke the window"),
        ("The door was locked", "They locked the door"),
        ("The man was annoyed", "They annoyed the man"),
        ("The man was scared", "They scared the man"),
        ("The man was disappointed", "They disappointed the man"),
        ("My bike was stolen", "Someone stole my bike"),
        ("El hombre fue asesinado", "Se asesinó el hombre"),
        ("El hombre fue asesinado", "Se asesinó al hombre"),
        ("El hombre fue herido", "Se hirió el hombre"),
        ("El bosque fue quemado", "Se quemó el bosque"),
        ("El horno fue apagado", "Se apagó el horno"),
        ("El reloj fue parado", "Se paró el reloj"),
        ("The parcel was left by the door", "The door left the parcel"),
        ("I was charged by mistake", "Mistake charged me"),
        ("My order was closed", "They closed my order"),
        ("I was contacted by phone", "Phone contacted me"),
    ],
    "comparison": [
        ("Juan says Ana is older than Bob", "Bob is younger than Juan says Ana"),
        ("Only Ana is older than Bob", "Bob is younger than only Ana"),
        ("No phone is better than this one", "This one is worse than no phone"),
        ("The boss noticed Ana is older than Bob", "Bob is younger than the boss noticed Ana"),
        ("JUAN HOPES ANA IS OLDER THAN BOB", "BOB IS YOUNGER THAN JUAN HOPES ANA"),
        ("Every phone is better than this one", "This one is worse than every phone"),
        ("I hope Ana is older than Bob", "Bob is younger than I hope Ana"),
        ("Juan dice Ana es mayor que Luis", "Luis es menor que Juan dice Ana"),
        ("Solo Ana es mayor que Luis", "Luis es menor que solo Ana"),
        ("Ningún hotel es mejor que este", "Este es peor que ningún hotel"),
    ],
    "courtesy": [
        ("Thanks to your team, I lost my flight", "I lost my flight"),
        ("I lost my flight, thanks to your team", "I lost my flight"),
        ("Thank you to the team for a ton, it broke", "It broke"),
    ],
    "emoji": [
        ("¿Dónde está mi maleta? 😡", "¿Dónde está mi maleta?"),
        ("Estoy en Málaga 😡", "Estoy en Málaga"),
        ("Llega esta tarde 😭", "Llega esta tarde"),
        ("Pedí lentejas 😞", "Pedí lentejas"),
        ("I installed the latest update 😡", "I installed the latest update"),
        ("I bought a saddle 😢", "I bought a saddle"),
        ("Great, the app crashed again 👏", "Great, the app crashed again"),
        ("Great, the app crashed again 🎉", "Great, the app crashed again"),
        ("Thanks for losing my parcel 👍", "Thanks for losing my parcel"),
        ("Gracias por perder mi maleta 🙏", "Gracias por perder mi maleta"),
        ("Perfecto, otra avería 👌", "Perfecto, otra avería"),
        ("So good I returned it :)", "So good I returned it"),
        ("Wonderful service 🤔", "Wonderful service"),
        ("I doubt it works 🤔", "I doubt it works"),
        ("The food was hot 🔥", "The food was hot"),
        ("Funny that it broke 😂", "Funny that it broke"),
        ("Is it bad? 😡", "Is it bad?"),
        ("I need a slow cooker 😡", "I need a slow cooker"),
        ("Which category is it? 🐱", "Which category is it?"),
    ],
    "spelling": [
        ("Ellos botaron ayer", "Ellos votaron ayer"),
        ("Ana se rebeló", "Ana se reveló"),
        ("Nos abrasamos", "Nos abrazamos"),
        ("Están casados", "Están cazados"),
        ("Lo rehusé", "Lo reusé"),
        ("Ana lo gravó", "Ana lo grabó"),
        ("Ana lo coció", "Ana lo cosió"),
        ("Ayer cerré la puerta", "Ayer serré la puerta"),
        ("Ellos lo segaron", "Ellos lo cegaron"),
        ("Mañana lo haremos", "Mañana lo aremos"),
    ],
}


@pytest.mark.parametrize(
    ("one", "other"), [pair for pairs in LOOK_ALIKES.values() for pair in pairs]
)
def test_second_senses_are_refused(one: str, other: str) -> None:
    assert not compare(one, other).accepted
    assert not compare(other, one).accepted


@pytest.mark.parametrize(
    ("one", "other"), [pair for pairs in LOOK_ALIKES.values() for pair in pairs]
)
def test_a_verdict_depends_on_nothing_compared_before(one: str, other: str) -> None:
    first, again = (compare("".join(list(one)), "".join(list(other))) for _ in range(2))
    assert again == first
    assert not again.accepted
