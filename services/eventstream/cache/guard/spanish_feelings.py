"""Words of feeling and of things that an emoji beside a Spanish text may repeat.

A sign of approval is left out beside words that praise without a doubt; one of anger beside words
that complain, those of what does not work among them.
"""

from collections.abc import Sequence

from eventstream.cache.guard.lexicon import words

GLAD = frozenset("🤩😄😁😃😀🤗😘💯👌👏🙌🎉💪🥳💙💚💛🧡💜😎✨🌟⭐🔝👍🙂☺😇💓💗💞")
"""Left out beside praise only."""
PRAISE = words(
    "encanta encantan encanto encantaron excelente excelentes genial geniales fantastico fantastica"
    " estupendo estupenda maravilloso maravillosa perfecto perfecta perfectos perfectas feliz"
    " felicidades enhorabuena delicioso deliciosa deliciosos deliciosas riquisimo riquisima"
    " buenisimo buenisima espectacular magnifico magnifica adoro adoran adora amo"
    " inmejorable impecable amabilisimo amabilisima fenomenal lindo linda"
    " precioso preciosa hermoso hermosa guay chevere chido divino divina"
    " encantador encantadora maravilla contentisimo contentisima encantado encantada"
)
CROSS = frozenset("🤬😾💢😱🙄😰😥😓😿🤢🤮😑😐🤯🥵😪🥲🤦🤷😵")
COMPLAINT = words(
    "rabia asqueroso asquerosa asquerosos grosero grosera maleducado maleducada estafa estafadores"
    " horror espantoso espantosa nefasto nefasta harto harta hartos hartas"
    " vergonzoso vergonzosa lentisimo lentisima suciedad sucio sucia sucios sucias repugnante"
    " timo robo ladrones indignante indignado indignada cabreado cabreada estropeado estropeada"
    " averiado averiada defectuoso defectuosa timado timada"
    " incomible vomitivo insoportable desesperado desesperada impresentable chapuza"
)
_FAILS = words(
    "funciona funcionan funciono llega llegan llego llegaron responde responden contesta contestan"
    " contesto sirve sirven carga abre deja puedo atienden atiende aparece enciende conecta"
)
_SHOWN = (
    "✅ listo lista hecho pague pagado confirmado confirmada resuelto completado activado"
    "|✔ listo lista hecho pague pagado confirmado confirmada resuelto completado activado"
    "|🚨 alerta emergencia urgente alarma|⚠ alerta aviso atencion cuidado advertencia peligro"
    "|📅 cita fecha calendario reunion agenda|🗓 cita fecha calendario reunion agenda"
    "|📍 ubicacion direccion donde|🕐 hora horario|⏳ espera esperando esperar|⌛ espera esperando"
    "|💸 dinero pago cobro cobraron pague caro|💵 dinero efectivo|💶 dinero"
    " euros|🧾 factura recibo ticket"
    "|📄 documento papel formulario contrato factura|📝 formulario nota apuntes examen"
    "|📎 archivo adjunto adjunta documento|🍽 restaurante comida cena mesa|🥘 paella|🍝 pasta"
    "|🍣 sushi|🥗 ensalada|🍰 tarta pastel|🍦 helado|🐾 perro gato mascota mascotas veterinario"
    "|🏥 hospital clinica|💊 pastilla pastillas medicina medicamento|🤒 fiebre enfermo enferma"
    "|🤧 resfriado gripe|😷 mascarilla|🦷 muela dientes dentista|👶 bebe|🎓 graduacion titulo"
    "|🏫 escuela colegio|✏ deberes tarea|🚕 taxi|🚇 metro|🧳 maleta maletas equipaje|🛫 vuelo avion"
    "|🛬 vuelo avion|🔒 bloqueada bloqueado contraseña|🔐 contraseña clave|🖨 impresora|🖥 ordenador"
    " computadora pantalla|📶 wifi señal cobertura internet|📞 telefono llamada llamar llame"
    "|☎ telefono llamada llamar|✉ correo carta email|📨 correo mensaje|💡 luz bombilla|🚿 ducha"
    "|🛏 cama habitacion|🏊 piscina|🔥 fuego incendio|🥶 frio|🎟 entrada entradas boletos|🎫 entrada"
    " entradas boletos|🚚 envio pedido reparto|🎄 navidad|👟 zapatillas zapatos|👗 vestido"
    "|🍅 tomate|🥑 aguacate|🐟 pescado|🍗 pollo|🥖 pan|🌱 jardin planta plantas"
)
SHOWS = {
    emoji: words(shown) for emoji, _, shown in (group.partition(" ") for group in _SHOWN.split("|"))
}


def complains_of_failure(said: Sequence[str]) -> bool:
    """Whether the words say that something does not work ("no me funciona")."""
    return any(
        word == "no" and not _FAILS.isdisjoint(said[at + 1 : at + 4])
        for at, word in enumerate(said)
    )
