"""What the guard knows about Spanish: its closed word classes, and where its lists are.

Data only, under the same rule as its English sister: a missing word is a content word. Phrases
are matched without accents, because many people type without them.
"""

from eventstream.cache.guard.conjugation import spanish_verb
from eventstream.cache.guard.lexicon import Lexicon, groups, numbered, phrase_index, words
from eventstream.cache.guard.spanish_address import phrases_addressed
from eventstream.cache.guard.spanish_verbs import all_forms, with_plurals
from eventstream.cache.guard.wordlists import read_lines, read_phrases, read_synonyms

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

_HUNDREDS = numbered(
    "doscientos doscientas|trescientos trescientas|cuatrocientos cuatrocientas"
    "|quinientos quinientas|seiscientos seiscientas|setecientos setecientas"
    "|ochocientos ochocientas|novecientos novecientas",
    start=2,
)

# Their subject stands before them or behind: "llegó el paquete", "el paquete llegó".
_INTRANSITIVE = words(
    "llegar venir:ie aparecer desaparecer funcionar fallar faltar salir caer morir:ue nacer ocurrir"
    " suceder existir doler:ue sonar:ue arder crecer gustar encantar caducar"
)

_SYNONYMS, _SYNONYM_PHRASES = read_synonyms("spanish_synonyms.txt", "es")

_NOUNS = words(" ".join(read_lines("spanish_nouns.txt")))
_LONG = 7
"""In a word of that length two neighbours exchanged hardly ever make another word."""

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
    possessives=words("tu tus su sus vuestro vuestra vuestros vuestras"),
    genders=dict.fromkeys(words("el los un unos este estos ese esos aquel aquellos"), "m")
    | dict.fromkeys(words("la las una unas esta estas esa esas aquella aquellas"), "f"),
    conjunctions=words("y e o u &"),
    fronting=words(
        "en cuando mientras si porque durante desde aunque hasta tras después antes con sin para"
        " por según debido_a siempre_que tan_pronto_como pese_a de a de_repente de_pronto"
        " repentinamente recientemente últimamente hace_poco finalmente por_fin al_final"
        " desgraciadamente lamentablemente afortunadamente semana_pasada mes_pasado año_pasado"
        " semana_que_viene mes_que_viene año_que_viene"
    ),
    movable_verbs=frozenset(
        form
        for verb in _INTRANSITIVE
        for tag, form in spanish_verb(verb)
        if tag[-2:] in ("3s", "3p") or tag == "pp"
    ),
    reports=words(
        "dice dijo dicen dijeron cree creo creía piensa pensó sé sabe sabía oí oyó afirma afirmó"
        " promete prometió prometieron anuncia anunció confirmó confirmaron dijiste dije han dicho"
    ),
    numbers=numbered(
        "cero||dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|trece|catorce|quince"
        "|dieciséis|diecisiete|dieciocho|diecinueve|veinte"
    )
    | numbered(
        "veintiuno veintiuna veintiún|veintidós veintidos|veintitrés veintitres|veinticuatro"
        "|veinticinco|veintiséis veintiseis|veintisiete|veintiocho|veintinueve",
        start=21,
    )
    | {word: 100 * hundreds for word, hundreds in _HUNDREDS.items()}
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
    synonyms=_SYNONYMS,
    opposites=groups(_OPPOSITES),
    phrases=phrase_index(phrases_addressed(read_phrases("spanish_phrases.txt")) + _SYNONYM_PHRASES),
    templates="spanish_templates.txt",
    long_words=words(" ".join(read_lines("spanish_long_words.txt")))
    | {noun for noun in _NOUNS if len(noun) >= _LONG and noun.isascii()},
    other_words=all_forms() | with_plurals(_NOUNS),
)
