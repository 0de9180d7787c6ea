"""What the guard knows about English: its closed word classes, and where its lists are.

Data only. A word that is missing here is a content word, which makes the guard stricter, never
laxer. Synonyms, phrases and shapes of sentences stand in `words/`.
"""

from eventstream.cache.guard.lexicon import Lexicon, groups, numbered, phrase_index, words
from eventstream.cache.guard.wordlists import read_lines, read_phrases, read_synonyms

_OPPOSITES = """
good bad | hot cold | open close | opened closed | start stop | increase decrease | rise fall
| buy sell | up down | before after | more less | high low | higher lower | in out | on off
| enable disable | accept reject | allow deny | allow forbid | like dislike | love hate
| cheap expensive | fast slow | early late | always never | best worst | better worse
| first last | add remove | push pull | win lose | true false | yes no | easy difficult
| easy hard | safe dangerous | happy sad | old new | old young | rich poor | strong weak
| full empty | legal illegal | possible impossible | install uninstall | connect disconnect
| activate deactivate | credit debit | import export | upload download | login logout
| minimum maximum | min max | male female | man woman | boy girl | men women | left right
| north south | east west | inside outside | above below | positive negative
| advantage disadvantage | ascending descending | encrypt decrypt | lock unlock
"""

_SYNONYMS, _SYNONYM_PHRASES = read_synonyms(
    "english_synonyms.txt", "en", "english_synonyms_everyday.txt"
)

ENGLISH = Lexicon(
    code="en",
    markers=words(
        "the is are was were what how do does did i you my your we they he she it this that with"
        " of and to for in on at by from not can could would will be have please when where why who"
        " which an or if but there hi hello thanks about should don't i'm it's isn't can't doesn't"
        " didn't won't been has had their his her our its some"
    ),
    articles=words("a an the"),
    light=words("my our #there"),
    near_demonstratives=words("this these"),
    far_demonstratives=words("that those"),
    copulas={"am": "be", "is": "be", "are": "be"},
    helpers=words("do does"),
    negations=words(
        "no not never none nobody nothing nowhere neither nor without hardly scarcely barely rarely"
        " seldom nope unless except"
    ),
    quantifiers=words(
        "all every each any some many much few fewer more most less least several both either half"
        " only just double twice once another other others always sometimes often usually enough"
        " almost nearly around exactly #lot #few #little even still already yet too also very"
        " really quite extremely again ever"
    ),
    modals=words(
        "will would can could may might must should shall ought maybe perhaps probably possibly"
        " definitely certainly"
    ),
    persons=words(
        "i you he she it we they me him us them your yours his her hers its their theirs mine ours"
        " myself yourself himself herself itself ourselves themselves someone anyone everyone"
        " somebody anybody everybody"
    ),
    tenses=words("was were been had did has have being be ago"),
    relations=words(
        "of to in on at by for from with into onto over under above below between among through"
        " during before after since until against toward towards across along behind beyond near"
        " inside outside off out up down and or but so because although if when while where whether"
        " than as like per via then who whom whose which what why how about because_of 's"
    ),
    questions=words(
        "what who whom whose which when where why how is are was were do does did am can could"
        " would will may has"
    ),
    order_verbs=words(
        "tell explain show help give summarize summarise translate classify write list describe"
        " cancel send check find provide change update refund make create generate confirm resend"
        " reset delete remove add fix clarify suggest recommend compare rewrite extract analyze"
        " analyse identify review return replace open close activate deactivate forward book order"
        " print reschedule move transfer unsubscribe sign turn switch play set remind call email"
        " schedule pay stop start search look convert calculate count sort define name read fill"
        " complete format prepare design draft proofread paraphrase rank quote block unblock unlock"
        " restore upgrade downgrade renew ship deliver charge credit waive apply approve reject"
        " clean repair reserve keep let bring take put lower raise reduce increase hurry correct"
    ),
    possessives=words("your his her its their"),
    genders={},
    conjunctions=words("and or &"),
    fronting=words(
        "in on at after before when while if because during since although as until unless with for"
        " by from under despite without because_of whenever as_soon_as to suddenly abruptly"
        " all_of_a_sudden recently lately finally eventually at_last in_the_end unfortunately"
        " luckily fortunately"
    ),
    movable_verbs=frozenset(),
    reports=words(
        "say says said tell told think thinks thought believe believes believed hear heard know"
        " knew claim claims claimed promise promised announce announced confirm confirmed"
    ),
    numbers=numbered(
        "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen"
        "|fifteen|sixteen|seventeen|eighteen|nineteen|twenty"
    )
    | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80}
    | {"ninety": 90, "hundred": 100, "dozen": 12}
    | {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12},
    ordinals=numbered("first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth", start=1),
    months=numbered(
        "january jan|february feb|march|april apr|may|june jun|july jul|august aug"
        "|september sep sept|october oct|november nov|december dec",
        start=1,
    ),
    weekdays=numbered(
        "monday mon|tuesday tue tues|wednesday wed|thursday thu thurs|friday fri|saturday|sunday"
    ),
    times=words(
        "today tomorrow yesterday tonight morning afternoon evening night noon midnight week weeks"
        " weekend monthly weekly daily yearly annually hourly quarterly"
    ),
    synonyms=_SYNONYMS,
    opposites=groups(_OPPOSITES),
    phrases=phrase_index(read_phrases("english_phrases.txt") + _SYNONYM_PHRASES),
    templates="english_templates.txt",
    long_words=words(" ".join(read_lines("english_long_words.txt"))),
    slip_words=words(" ".join(read_lines("english_slip_words.txt"))),
)
