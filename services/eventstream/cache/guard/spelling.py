"""Two ways to spell one word: British and American English, and Spanish by ear.

Spanish is written as it sounds, so "enpezar", "aver" and "jente" can be told from other words by
their sound. Pairs of words that sound alike and are two all the same are listed and stay apart,
those of verbs in all their forms.
"""

import re
from functools import lru_cache

from eventstream.cache.guard.conjugation import spanish_verb
from eventstream.cache.guard.inflection import without_accents
from eventstream.cache.guard.lexicon import groups

_SHORTEST = 4
_NONE = frozenset[int]()
_NOTHING = frozenset[str]()
_SOUNDS = (
    (re.compile("ch"), "C"),
    (re.compile("h"), ""),
    (re.compile("qu|k"), "c!"),
    (re.compile("c(?=[ei])|z"), "s"),
    (re.compile("g(?=[ei])"), "j"),
    (re.compile("v"), "b"),
    (re.compile("ll"), "y"),
    (re.compile("n(?=[bp])"), "m"),
    (re.compile("x(?=[^aeiou])|cs(?=[^aeiou])"), "s"),
    (re.compile(r"([b-df-hj-np-qstv-z])\1"), r"\1"),
    (re.compile("c!?"), "c"),
)
_TWO_WORDS = groups(
    "tubo tuvo | tubos tuvos | baca vaca | hola ola | asta hasta | echo hecho | echa"
    " hecha | casa caza | casar cazar | cocer coser | bello vello | bella vella | rebelar"
    " revelar | rebelado revelado | haya halla aya | hayas hallas | calló cayó | callo"
    " cayo | callado cayado | pollo poyo | valla vaya | vallas vayas | abrazar abrasar |"
    " abrazo abraso | ciento siento | cien sien | votar botar | vota bota | voto boto |"
    " votos botos | grabar gravar | grabe grave | graba grava | sabia savia | honda onda |"
    " hondas ondas | hojear ojear | huso uso | husos usos | cede sede | ceden seden | maza"
    " masa | tasa taza | tasas tazas | pozo poso | reciente resiente | cierra sierra |"
    " cierras sierras | vocear vosear | vaso bazo | casos cazos | caso cazo | zumo sumo |"
    " cima sima | bienes vienes | bien vien | barón varón | basto vasto | basta vasta |"
    " bate vate | beta veta | cabo cavo | nobel novel | ribera rivera | desecho deshecho |"
    " desechos deshechos | errar herrar | hora ora | horas oras | hizo izo | ablando"
    " hablando | hablar ablar | arrollo arroyo | olla hoya | malla maya | rallar rayar |"
    " ralla raya | rallado rayado | gira jira | injerir ingerir | concejo consejo |"
    " concejos consejos | concejal consejal | intensión intención | cesión sesión |"
    " cesiones sesiones | ceso seso | cenado senado | siervo ciervo | siervos ciervos |"
    " seta zeta | setas zetas | segar cegar | sien cien | sidra cidra | abocar avocar |"
    " acervo acerbo | bacilo vacilo | baso vaso | bola vola | bolar volar | cavar cabar |"
    " combino convino | convine combine | combenir convenir | hierro yerro | hato ato |"
    " hatajo atajo | hay ay | honra onra | hulla huya | hice ise | loza losa | lozas losas"
    " | mesa meza | mezo meso | paces pases | pazo paso | peces peses | pez pes | presa"
    " preza | proveer prober | rebosar rebozar | ricino risino | rosa roza | rosas rozas |"
    " sabe save | serrar cerrar | serrado cerrado | serró cerró | silba silva | sima cima"
    " | trazo traso | tuya tulla | vez ves | veces beses | besos vesos | vino bino | viva"
    " biba | encima enzima | enzimas encimas | asar azar | azares asares | asienta acienta"
    " | asiento aciento | azada asada | bracero brasero | cause cauce | causes cauces |"
    " cazuela casuela | ceda seda | cepa sepa | cera será | cerio serio | cerios serios |"
    " ciega siega | cirio sirio | coces coses | fucilar fusilar | has haz | laso lazo |"
    " laza lasa | mosa moza | posa poza | poses poces | puso puzo | resumo rezumo | sesto"
    " cesto | sexta sesta | sueco zueco | suecos zuecos | tenas tenaz | vise bise | visar"
    " bizar | contexto contesto | expiar espiar | expira espira | expirar espirar |"
    " extirpe estirpe | texto testo | seso sexo | expía espía | laxo lazo | sera cera |"
    " sexta cesta | sexto cesto | gamma gama | cosido cocido | cosida cocida | baza basa"
    " vasa | éxtasis estasis | bazar basar | bazo baso | sebo cebo | orca horca | sito"
    " cito | sita cita | vaya baya valla | theta teta | sello cello | senador cenador |"
    " liza lisa | sierva cierva | bovina bobina | segador cegador | segadora cegadora |"
    " sine cine | raza rasa | briza brisa | harto arto | kappa capa | lívido libido | seca"
    " ceca | braza brasa | exclusa esclusa | sena cena | zaga saga | silicio cilicio |"
    " vacilar basilar | extático estático | silla cilla | suya sulla | valar balar | corzo"
    " corso | casería cacería | válido balido | riza risa | encauzar encausar | varita"
    " barita | ético hético | ética hética | suma zuma | vocal bocal | villa billa | vaga"
    " baga | vacante bacante | vario bario | vocear bocear | vasco basco | seña ceña |"
    " señar ceñar | civil sibil | severa cebera | venino benino | vellido bellido |"
    " vaquero baquero | haremos aremos | hará ara ará | harás aras arás | haré are aré | harán aran"
    " arán | vestía bestia | hierba hierva | sexto cesto | rallo rayo | rallos rayos | risa riza"
    " | risas rizas | brasas brazas | seno ceno | fase face | valla baya | vallas bayas | usar"
    " húsar | balido valido | vela bela | gana ghana | saca zaca | saque zaque | arma harma"
    " | usada husada | beneficio veneficio | cenada senada | callada cayada | acera hacera"
    " | asesinar acecinar | fresa freza | falla faya | causa cauza | cese sece"
)
_TWO_VERBS = (
    "casar cazar|cocer coser|rebelar revelar|abrazar abrasar|votar botar|grabar gravar|cerrar"
    " serrar|segar cegar|rehusar reusar|vocear vosear|vocear bocear|hojear ojear|errar herrar"
    "|rallar rayar|injerir ingerir|abocar avocar|bolar volar|cavar cabar|rebosar rebozar|asar azar"
    "|expiar espiar|expirar espirar|fucilar fusilar|visar bizar|encauzar encausar|valar balar"
    "|bazar basar|tasar tazar|rizar risar|hablar ablar"
    "|sesear cecear|vendar bendar|bastar vastar|halar alar"
)
_BRITISH = re.compile(
    r"^(?P<our>colo|favo|hono|labo|neighbo|flavo|behavio|humo|harbo|rumo|vapo|odo|armo|endeavo|parlo|savio|savo|vigo"
    r"|splendo|tumo|clamo|rigo|glamo)ur(?P<rest>\w*)$"
    r"|^(?P<re>cent|theat|fib|lit|met|kilomet|centimet|calib|meag|somb|spect|lust|sab)re(?P<s>s?)$"
    r"|^(?P<double>travel|cancel|label|model|signal|fuel|level|counsel|marvel|quarrel|dial|jewel|total|pedal|channel"
    r"|panel|tunnel|equal|fulfil|enrol|instal|distil)l(?P<end>ed|ing|er|ers|ation|ations|ment|ments|ery|s|)$"
)
_BRITISH_TABLE = (
    "grey gray|tyre tire|tyres tires|licence license|licences licenses|defence"
    " defense|offence offense|jewellery jewelry|mum mom|programme program|programmes"
    " programs|catalogue catalog|catalogues catalogs|dialogue dialog|analogue"
    " analog|aluminium aluminum|pyjamas pajamas|moustache mustache|cosy cozy|sceptical"
    " skeptical|plough plow|ageing aging|judgement judgment|skilful skillful|instalment"
    " installment|instalments installments|practise practice|practising"
    " practicing|practised practiced|analyse analyze|analysed analyzed|analysing"
    " analyzing|paralysed paralyzed|kerb curb|maths math|doughnut donut|doughnuts"
    " donuts|learnt learned|burnt burned|spelt spelled|dreamt dreamed|spoilt"
    " spoiled|whisky whiskey|yoghurt yogurt|yoghurts yogurts|omelette omelet|anaesthetic"
    " anesthetic|paediatrician pediatrician|diarrhoea diarrhea|oestrogen"
    " estrogen|manoeuvre maneuver|encyclopaedia encyclopedia|acknowledgement"
    " acknowledgment"
)
_OTHER_BRITISH = {
    british: other
    for british, _, other in (each.partition(" ") for each in _BRITISH_TABLE.split("|"))
}


def _forms_of_two_verbs() -> dict[str, frozenset[str]]:
    """The forms that sound like another verb's, each with those others, and both without accents.

    All changes of the vowel are tried: what nobody writes makes no difference.
    """
    others: dict[str, set[str]] = {}
    for pair in _TWO_VERBS.split("|"):
        one, other = pair.split()
        for change in ("", ":ie", ":ue"):
            forms = dict(spanish_verb(other + change))
            for tag, form in spanish_verb(one + change):
                for a, b in ((form, forms[tag]), (forms[tag], form)):
                    others.setdefault(a, set()).add(b)
                    others.setdefault(without_accents(a), set()).add(without_accents(b))
    return {form: frozenset(alike) for form, alike in others.items()}


_OTHER_VERB = _forms_of_two_verbs()


@lru_cache(maxsize=4096)
def american(word: str) -> str:
    """`word` as it is spelt in American English; itself where that is no other way."""
    if word in _OTHER_BRITISH:
        return _OTHER_BRITISH[word]
    match = _BRITISH.match(word)
    if match is None:
        return word
    if match["our"]:
        return match["our"] + "r" + match["rest"]
    if match["re"]:
        return match["re"] + "er" + match["s"]
    if match["double"] in ("fulfil", "enrol", "instal", "distil"):
        return word
    return match["double"] + match["end"]


@lru_cache(maxsize=4096)
def _sound(word: str) -> str:
    for pattern, written in _SOUNDS:
        word = pattern.sub(written, word)
    return word


def sound_alike(one: str, other: str) -> bool:
    """Whether two Spanish words are one, spelt by ear ("enpezar" and "empezar").

    Where an accent decides between two words, it has to be the same.
    """
    if min(len(one), len(other)) < _SHORTEST or one[-1] != other[-1]:
        return False
    plain_one, plain_other = without_accents(one), without_accents(other)
    if plain_one == plain_other or _sound(plain_one) != _sound(plain_other):
        return False
    return not any(
        b in _OTHER_VERB.get(a, _NOTHING)
        or not _TWO_WORDS.get(a, _NONE).isdisjoint(_TWO_WORDS.get(b, _NONE))
        for a, b in (
            (one, other),
            (plain_one, plain_other),
            (plain_one.removesuffix("s"), plain_other.removesuffix("s")),
        )
    )
