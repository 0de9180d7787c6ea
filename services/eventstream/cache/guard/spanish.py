"""What the guard knows about Spanish: closed word classes, fixed phrases, a few synonyms.

Data only, under the same rule as its English sister: a missing word is a content word. Phrases
are matched without accents, because many people type without them.
"""

from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import (
    Lexicon,
    Position,
    by_first_word,
    groups,
    numbered,
    phrases,
    words,
)

_SYNONYMS = """
televisión televisor tele tv | foto fotografía imagen | película film peli
| coche auto carro automóvil
| móvil celular | ordenador computadora computador | comprar adquirir | empezar comenzar iniciar
| empieza comienza inicia | terminar acabar finalizar | termina acaba finaliza | rápido veloz
| patata papa | patatas papas | camarón gamba | camarones gambas | borrar eliminar suprimir
| borra elimina | usar utilizar emplear | usa utiliza emplea | uso utilizo | usando utilizando
| arreglar reparar | obtener conseguir | mostrar enseñar | fallo error
| escoger elegir seleccionar | contestar responder | respuesta contestación | cambiar modificar
| comprobar verificar | objetivo meta | contento feliz | grande gran
| excelente estupendo fantástico maravilloso magnífico genial
| excelente estupenda fantástica maravillosa magnífica genial
| horrible terrible espantoso pésimo | horrible terrible espantosa pésima
| piso apartamento | autobús bus colectivo | barato económico | barata económica
| recomendar sugerir | hierba césped pasto | mediante vía | quizás quizá
| inmediatamente enseguida | actualmente ahora | todavía aún | anterior previo
| devolución reembolso | contraseña clave | correo email mail | dinero plata
| sólo solo solamente únicamente | luego después | extremadamente sumamente
| bonito lindo | bonita linda | conductor chofer chófer | médico doctor | médicos doctores
| profesor maestro | alumno estudiante | alumnos estudiantes
"""

_OPPOSITES = """
bueno malo | buena mala | caliente frío | abrir cerrar | abierto cerrado | empezar terminar
| aumentar disminuir | sube baja | subir bajar | comprar vender | antes después | más menos
| alto bajo | mejor peor | activar desactivar | aceptar rechazar | permitir prohibir | caro barato
| cara barata | rápido lento | temprano tarde | siempre nunca | primero último | poner quitar
| ganar perder | verdadero falso | sí no | fácil difícil | seguro peligroso | feliz triste
| nuevo viejo | joven viejo | rico pobre | fuerte débil | lleno vacío | legal ilegal
| posible imposible | instalar desinstalar | conectar desconectar | importar exportar
| subir descargar | mínimo máximo | hombre mujer | niño niña | hombres mujeres
| izquierda derecha | norte sur | este oeste | dentro fuera | arriba abajo | positivo negativo
| ventaja desventaja | llegar salir | entrada salida | alza baja
"""

_ASK = "dime | digame | decidme | explicame | expliqueme | indicame | indiqueme"

_PHRASES = (
    *phrases(
        Kind.GREETING,
        "",
        Position.START,
        "hola buenos dias | hola buenas tardes | hola buenas noches | hola buenas | buenos dias"
        " | buenas tardes | buenas noches | muy buenas | buen dia | hola a todos | hola que tal"
        " | hola equipo | estimado equipo | estimados señores | estimado señor | estimada señora"
        " | estimados | a quien corresponda | hola | buenas | saludos",
    ),
    *phrases(Kind.COURTESY, "", Position.ANY, "por favor | porfavor | porfa | si es tan amable"),
    *phrases(
        Kind.COURTESY,
        "",
        Position.EDGE,
        "muchas gracias de antemano | muchas gracias por su ayuda | muchas gracias por la ayuda"
        " | gracias por su ayuda | gracias por tu ayuda | gracias por la ayuda"
        " | gracias de antemano | mil gracias | muchas gracias | muchisimas gracias | gracias"
        " | un saludo | saludos cordiales | un cordial saludo | saludos | atentamente"
        " | un abrazo | disculpe | disculpa | perdon | perdone | perdona"
        " | que tenga un buen dia | buen dia",
    ),
    *phrases(
        Kind.REQUEST,
        "cómo",
        Position.BEFORE_INFINITIVE,
        "como puedo | como podria | como se puede | como podemos | como hago para"
        " | como hacer para | como se hace para | de que manera puedo | de que forma puedo"
        " | que debo hacer para | que tengo que hacer para | que hay que hacer para"
        " | que hago para | que puedo hacer para | cual es la forma de | cual es la manera de"
        " | como debo | como",
    ),
    *phrases(
        Kind.REQUEST,
        "",
        Position.BEFORE_QUESTION,
        _ASK + " | quiero saber | quisiera saber | me gustaria saber | necesito saber"
        " | deseo saber | querria saber | puedes decirme | puede decirme | podrias decirme"
        " | podria decirme | podeis decirme | me puedes decir | me puede decir | me podrias decir"
        " | me podria decir | me podeis decir | me pueden decir | pueden decirme"
        " | podrian decirme | me podrian decir | puedes explicarme | puede explicarme"
        " | podrias explicarme | podria explicarme | me puedes explicar | me puede explicar"
        " | me podrias explicar | me podria explicar | puedes indicarme | puede indicarme"
        " | podria indicarme | podrias indicarme | me puede indicar | me podria indicar"
        " | sabes | sabe alguien | alguien sabe | me pregunto | queria saber | queria preguntar"
        " | quisiera preguntar | tengo una duda | tengo una pregunta | una pregunta | una duda"
        " | una consulta | explica",
    ),
    *phrases(
        Kind.REQUEST,
        "quiero",
        Position.BEFORE_INFINITIVE,
        "quiero | quisiera | me gustaria | deseo | querria | desearia | queria | deseo poder"
        " | quisiera poder | me gustaria poder",
    ),
    *phrases(
        Kind.FILLER,
        "",
        Position.ANY,
        "la verdad es que | en realidad | basicamente | simplemente | sinceramente | francamente"
        " | es decir | o sea | por cierto | de hecho",
    ),
    *phrases(Kind.FILLER, "", Position.START, "bueno | pues | entonces | asi que | bien | vale"),
    *phrases(
        Kind.FILLER,
        "",
        Position.LEAD,
        "creo que | pienso que | opino que | en mi opinion | a mi juicio | asi que",
    ),
    *phrases(
        Kind.SYNONYM,
        "debido_a",
        Position.ANY,
        "debido a | a causa de | por culpa de | como consecuencia de",
    ),
    *phrases(Kind.SYNONYM, "#mucho", Position.ANY, "un monton de | muchos | muchas"),
    *phrases(Kind.SYNONYM, "#poco", Position.ANY, "un poco de | un poco | un poquito"),
    *phrases(
        Kind.SYNONYM,
        "#algunos",
        Position.ANY,
        "unos cuantos | unas cuantas | algunos | algunas | un par de",
    ),
    *phrases(Kind.SYNONYM, "#ejemplo", Position.ANY, "por ejemplo | p.ej. | p.ej"),
    *phrases(Kind.SYNONYM, "ahora", Position.ANY, "ahora mismo | en este momento"),
    *phrases(
        Kind.SYNONYM,
        "cuanto_antes",
        Position.ANY,
        "lo antes posible | cuanto antes | lo mas pronto posible",
    ),
    *phrases(Kind.SYNONYM, "mediante", Position.ANY, "a traves de | por medio de"),
    *phrases(Kind.SYNONYM, "sobre", Position.ANY, "acerca de | respecto a | con respecto a"),
    *phrases(
        Kind.SYNONYM,
        "#eeuu",
        Position.ANY,
        "estados unidos de america | estados unidos | eeuu | ee.uu | ee.uu.",
    ),
    *phrases(Kind.SYNONYM, "onu", Position.ANY, "naciones unidas"),
    *phrases(Kind.SYNONYM, "ue", Position.ANY, "union europea"),
    *phrases(Kind.SYNONYM, "correo", Position.ANY, "correo electronico | e mail"),
    *phrases(Kind.SYNONYM, "móvil", Position.ANY, "telefono movil | telefono celular"),
    *phrases(Kind.NUMBER_FORMAT, "%", Position.ANY, "por ciento"),
    *phrases(Kind.CONTRACTION, "de el", Position.ANY, "del"),
    *phrases(Kind.CONTRACTION, "a el", Position.ANY, "al"),
    *phrases(Kind.SPELLING, "por qué", Position.START, "porque | por que | por q"),
    *phrases(Kind.SPELLING, "que", Position.ANY, "q"),
)

SPANISH = Lexicon(
    code="es",
    markers=words(
        "el los las una unos unas que qué de del y en es está están son por para con mi mis tu su"
        " sus lo al se como cómo pero más cuando cuándo donde dónde cuál quién muy también hay"
        " quiero puedo puede hola gracias este esta esto ese esa eso yo nos le les ha han fue"
        " estoy soy tengo tiene hacer sin sobre hasta desde porque cuánto cuántos necesito"
        " quisiera favor buenos buenas"
    ),
    articles=words("el la los las un una unos unas"),
    light=words("mi mis nuestro nuestra nuestros nuestras yo"),
    near_demonstratives=words("este esta esto estos estas"),
    far_demonstratives=words("ese esa eso esos esas aquel aquella aquello aquellos aquellas"),
    copulas={"es": "ser", "son": "ser", "está": "estar", "están": "estar"},
    helpers=frozenset(),
    negations=words(
        "no nunca jamás nada nadie ningún ninguno ninguna ni tampoco sin excepto salvo"
    ),
    quantifiers=words(
        "todo toda todos todas cada algún alguno alguna mucho mucha poco poca pocos pocas más menos"
        " varios varias ambos ambas medio media sólo solo solamente únicamente otro otra otros"
        " otras siempre a_veces casi bastante demasiado apenas aún todavía ya también muy tan tanto"
        " #mucho #poco #algunos cualquier cualquiera doble incluso además"
    ),
    modals=words(
        "puedo puedes puede podemos pueden podría podrías podrían debo debes debe debemos deben"
        " debería deberías deberían quizás quizá seguramente probablemente necesito necesita"
        " necesitas necesitan tal_vez"
    ),
    persons=words(
        "tú él ella usted nosotros nosotras vosotros vosotras ellos ellas ustedes me te se nos os"
        " lo le les tu tus su sus vuestro vuestra vuestros vuestras mío mía tuyo tuya suyo suya"
        " soy eres somos sois estoy estás estamos estáis mí ti alguien uno"
    ),
    tenses=words(
        "era eran fue fueron estaba estaban estuvo será serán estará ha han he has hemos había"
        " habían sido siendo ser estar haber hubo"
    ),
    relations=words(
        "de a en por para con y e o u pero aunque porque si cuando mientras donde que como sobre"
        " hasta desde entre contra hacia según durante ante bajo tras antes después debido_a"
        " mediante qué cómo cuándo dónde cuál cuáles quién quiénes cuánto cuánta cuántos cuántas"
        " hay lo_que quien cual fuera dentro"
    ),
    questions=words(
        "qué cómo cuándo dónde cuál cuáles quién quiénes cuánto cuánta cuántos cuántas adónde que"
        " como cuando donde cual cuales quien quienes cuanto cuantos cuanta cuantas"
    ),
    order_verbs=frozenset(),
    conjunctions=words("y e o u &"),
    fronting=words("en cuando mientras si porque durante desde aunque hasta tras después antes"),
    numbers=numbered(
        "cero||dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|trece|catorce|quince"
        "|dieciséis|diecisiete|dieciocho|diecinueve|veinte"
    )
    | {"treinta": 30, "cuarenta": 40, "cincuenta": 50, "sesenta": 60, "setenta": 70}
    | {"ochenta": 80, "noventa": 90, "cien": 100, "ciento": 100, "docena": 12, "mil": 10**3}
    | {"millón": 10**6, "millones": 10**6, "billón": 10**12, "billones": 10**12},
    ordinals=numbered(
        "primero primer primera|segundo segunda|tercero tercer tercera|cuarto cuarta|quinto quinta"
        "|sexto sexta|séptimo séptima|octavo octava|noveno novena|décimo décima",
        start=1,
    ),
    months=numbered(
        "enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre setiembre|octubre"
        "|noviembre|diciembre",
        start=1,
    ),
    weekdays=numbered("lunes|martes|miércoles miercoles|jueves|viernes|sábado sabado|domingo"),
    times=words(
        "hoy mañana ayer anoche tarde noche mediodía medianoche semana semanas diario diaria"
        " mensual semanal anual madrugada"
    ),
    synonyms=groups(_SYNONYMS),
    opposites=groups(_OPPOSITES),
    phrases=by_first_word(_PHRASES),
)
