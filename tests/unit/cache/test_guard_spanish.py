"""Everyday Spanish: what two ways of writing share, and the nearest thing that is another one."""

import pytest

from eventstream.cache.guard import compare

HARMLESS = {
    "missing_accents": [
        ("Se rompio la lampara y nadie contesto", "Se rompió la lámpara y nadie contestó"),
        ("Mañana ire a la comisaria", "Mañana iré a la comisaría"),
        ("El tecnico llego tarde y no arreglo nada", "El técnico llegó tarde y no arregló nada"),
        ("No se donde esta la salida", "No sé dónde está la salida"),
        ("El niño pequeno tiene alergia", "El niño pequeño tiene alergia"),
    ],
    "by_ear": [
        ("El profesor no a subido las notas", "El profesor no ha subido las notas"),
        ("Hola, kiero debolver unos sapatos", "Hola, quiero devolver unos zapatos"),
    ],
    "abbreviations": [
        ("El prof. de mates no vino", "El profesor de matemáticas no vino"),
        ("pq no me dejan entrar con la mochila??", "¿Por qué no me dejan entrar con la mochila?"),
        ("Vivo en el 3.er piso", "Vivo en el tercer piso"),
    ],
    "address": [
        ("Mandadme el catálogo", "Mándenme el catálogo"),
        ("Dime cómo configuro el correo", "Dígame cómo configuro el correo"),
        ("¿Hacéis envíos a Portugal?", "¿Hacen envíos a Portugal?"),
        ("Les agradecería que revisaran mi factura", "Revisen mi factura, por favor"),
        ("¿Tú crees que lloverá?", "¿Crees que lloverá?"),
        ("Nosotros llegamos a las cinco", "Llegamos a las cinco"),
    ],
    "pronouns": [
        ("Se lo quiero devolver", "Quiero devolvérselo"),
        ("Me lo tienes que explicar", "Tienes que explicármelo"),
        ("¿Cómo me registro?", "¿Cómo puedo registrarme?"),
    ],
    "impersonal": [
        ("Se cancelaron las clases", "Cancelaron las clases"),
        ("Se me cobró dos veces", "Me cobraron dos veces"),
        ("¿Cómo se cambia la contraseña?", "¿Cómo puedo cambiar la contraseña?"),
        ("Han cambiado la cerradura", "La cerradura ha sido cambiada"),
        ("El comité revisará el acta", "El acta será revisada por el comité"),
    ],
    "senses": [
        ("¿Dónde aparco el carro?", "¿Dónde aparco el coche?"),
        ("Pago la renta del piso", "Pago el alquiler del piso"),
        ("He olvidado la clave de mi correo", "He olvidado la contraseña de mi email"),
    ],
    "clauses": [
        ("Estaba enfermo, así que falté a clase", "Falté a clase porque estaba enfermo"),
        ("Para viajar a Cuba, ¿qué necesito?", "¿Qué necesito para viajar a Cuba?"),
        ("Hace dos horas que espero el autobús", "Espero el autobús hace dos horas"),
        ("No ha llamado nadie", "Nadie ha llamado"),
    ],
    "nouns_for_verbs": [
        ("La cancelación del vuelo costó 200 euros", "Cancelar el vuelo costó 200 euros"),
    ],
    "agreement": [
        ("La computadora está averiada", "El ordenador está averiado"),
    ],
    "emoji": [
        ("No me llega el código 😭", "No me llega el código"),
        ("El servicio es excelente 👏", "El servicio es excelente"),
    ],
    "lead_in": [
        ("Vamos, que no me han devuelto el dinero", "No me han devuelto el dinero"),
        ("Pues a ver, resulta que la app no carga", "La app no carga"),
    ],
}
LOOK_ALIKES = {
    "missing_accents": [
        ("Llego tarde", "Llegó tarde"),
        ("No se dónde está", "Se dónde está"),
        ("Compro en esa tienda", "Compró en esa tienda"),
    ],
    "by_ear": [
        ("Voy a la caza", "Voy a la casa"),
        ("Ha subido las notas", "A subido precio"),
    ],
    "abbreviations": [
        ("El prof. no vino", "El profesional no vino"),
        ("Vivo en el 3.er piso", "Vivo en el segundo piso"),
    ],
    "address": [
        ("Mandadme el catálogo", "Mándenle el catálogo"),
        ("¿Hacéis envíos a Portugal?", "¿Hacemos envíos a Portugal?"),
        ("Quiero ver tu factura", "Quiero ver mi factura"),
        ("¿Dónde está tu hermano?", "¿Dónde está su hermano?"),
        ("Tenéis razón", "Tienen razón"),
        ("Mándame tu horario", "Mándame su horario"),
        ("Dime cuándo puedes venir", "Dime cuándo puede venir"),
        ("Con nosotros llegamos a diez", "Llegamos a diez"),
    ],
    "pronouns": [
        ("Se lo quiero devolver", "Me lo quiere devolver"),
        ("La puedo llamar", "Puedo llamarte"),
    ],
    "impersonal": [
        ("Se lavaron las manos", "Lavaron las manos"),
        ("Se rompieron las gafas", "Rompieron las gafas"),
        ("Se cancelaron las clases", "Canceló las clases"),
        ("Las clases fueron canceladas", "Las clases serán canceladas"),
    ],
    "senses": [
        ("El carro está roto", "El coche está roto"),
        ("La clave del éxito", "La contraseña del éxito"),
        ("Pago la renta en la declaración", "Pago el alquiler en la declaración"),
    ],
    "clauses": [
        ("Estaba enfermo, así que falté a clase", "Falté a clase, así que estaba enfermo"),
        ("No ha llamado nadie", "Nadie ha dejado de llamar"),
        ("Hace dos horas que espero el autobús", "Espero el autobús dentro de dos horas"),
    ],
    "nouns_for_verbs": [
        ("La cancelación del vuelo costó 200 euros", "Modificar el vuelo costó 200 euros"),
    ],
    "agreement": [
        ("El enfermo espera", "La enferma espera"),
    ],
    "emoji": [
        ("No me llega el código 😂", "No me llega el código"),
        ("¿El servicio es excelente? 👏", "¿El servicio es excelente?"),
        ("El servicio es lento 👏", "El servicio es lento"),
    ],
    "lead_in": [
        ("Dice que no me han devuelto el dinero", "No me han devuelto el dinero"),
        ("Puede que la app no cargue", "La app no carga"),
    ],
}


@pytest.mark.parametrize(("one", "other"), [pair for pairs in HARMLESS.values() for pair in pairs])
def test_two_ways_to_write_one_thing(one: str, other: str) -> None:
    assert compare(one, other).refused_kinds == ()
    assert compare(other, one).refused_kinds == ()


@pytest.mark.parametrize(
    ("one", "other"), [pair for pairs in LOOK_ALIKES.values() for pair in pairs]
)
def test_the_nearest_other_thing(one: str, other: str) -> None:
    assert not compare(one, other).accepted
    assert not compare(other, one).accepted


def test_each_rule_is_tested_both_ways() -> None:
    assert HARMLESS.keys() == LOOK_ALIKES.keys()


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        ("Cancelé el pedido", "Cancele el pedido"),
        ("Cambié la contraseña", "Cambie la contraseña"),
        ("Revisé el contrato", "Por favor, revise el contrato"),
    ],
)
def test_what_i_did_is_not_what_i_ask_for(told: str, asked: str) -> None:
    assert not compare(told, asked).accepted
    assert not compare(asked, told).accepted
