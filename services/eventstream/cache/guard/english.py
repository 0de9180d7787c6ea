"""What the guard knows about English: closed word classes, fixed phrases, a few synonyms.

Data only. A word that is missing here is a content word, which makes the guard stricter, never
laxer; so these lists stay short and hold only what is safe in every sentence.
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
tv television telly | photo photograph picture image | film movie | phone telephone
| cellphone mobile | bike bicycle | plane airplane aeroplane | car automobile | kid child
| kids children | fast quick rapid | quickly fast rapidly | big large | tiny small | purchase buy
| start begin commence | finish complete | finish end | assist help | delete remove erase
| fix repair mend | get obtain | show display | error mistake | okay ok fine | permit allow
| require need | utilize utilise use employ | utilization utilisation use usage
| choose select pick | shut close | reply respond answer | alter change modify | gather collect
| verify check | reimburse refund | reimbursement refund | objective goal aim purpose | ill sick
| mother mom mum | father dad | glad happy | awful terrible horrible dreadful
| great excellent fantastic wonderful amazing superb | correct right | incorrect wrong
| extremely incredibly | store shop | sofa couch | trash garbage rubbish | apartment flat
| holiday vacation | lorry truck | staff personnel | quake earthquake | marijuana cannabis
| website site webpage | cheap inexpensive | recommend suggest | provide supply furnish
| jewellery jewelry | grey gray | centre center | theatre theater | tyre tire | colour color
| favourite favorite | behaviour behavior | labour labor | flavour flavor | neighbour neighbor
| honour honor | travelling traveling | cancelled canceled | cancelling canceling | cancellation
cancelation | licence license | cheque check | programme program | catalogue catalog
| dialogue dialog | whilst while | amongst among | upon on | till until
| about regarding concerning | via through | however nevertheless | also too | maybe perhaps
| approximately roughly | nearly almost | immediately instantly | currently now | often frequently
| whole entire | additional extra | previous prior | info information | furthermore moreover
| powerful strong| smart clever
| difficult hard | simple easy
"""

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

_PHRASES = (
    *phrases(
        Kind.GREETING,
        "",
        Position.START,
        "hi there | hello there | hey there | hi team | hello team | hi all | hello all | hey all"
        " | hi everyone | hello everyone | dear team | dear support | dear support team"
        " | dear sir or madam | dear sir | dear madam | dear sirs | to whom it may concern"
        " | good morning | good afternoon | good evening | good day | hi | hello | hey | greetings"
        " | hi guys | hello guys | hi support | hello support | dear customer service",
    ),
    *phrases(Kind.COURTESY, "", Position.ANY, "please | pls | plz | kindly"),
    *phrases(
        Kind.COURTESY,
        "",
        Position.EDGE,
        "thank you very much in advance | thank you so much | thank you very much"
        " | thank you in advance | thanks in advance | many thanks in advance | many thanks"
        " | thanks a lot | thanks so much | thanks a million | thank you | thanks | thx | cheers"
        " | best regards | kind regards | warm regards | best wishes | regards | sincerely"
        " | yours sincerely | yours faithfully | yours truly | have a nice day | have a great day"
        " | have a good day | sorry to bother you | excuse me | any help is appreciated"
        " | any help would be appreciated | thanks for your help | thank you for your help"
        " | thanks for your time | thank you for your time",
    ),
    *phrases(
        Kind.REQUEST,
        "how #to",
        Position.ANY,
        "how do i | how can i | how do you | how can you | how do we | how can we | how could i"
        " | how does one | how can one | how to | what is the way to | what do i need to do to"
        " | what should i do to | what do i do to | what must i do to | what do i have to do to"
        " | what are the steps to | how am i able to | how would i | how should i go about",
    ),
    *phrases(
        Kind.REQUEST,
        "",
        Position.BEFORE_QUESTION,
        "can you tell me | could you tell me | would you tell me | will you tell me | tell me"
        " | can you explain to me | could you explain to me | can you explain | could you explain"
        " | explain to me | explain | i want to know | i would like to know | i need to know"
        " | i wish to know | do you know | i am wondering | i was wondering | i wonder"
        " | let me know | can you let me know | could you let me know | i want to ask"
        " | i would like to ask | may i ask | can i ask | does anyone know | i have a question",
    ),
    *phrases(
        Kind.REQUEST,
        "",
        Position.BEFORE_ORDER,
        "can you | could you | would you | will you | i want you to | i would like you to"
        " | i need you to | go ahead and",
    ),
    *phrases(
        Kind.REQUEST,
        "i want to",
        Position.ANY,
        "i would like to | i wish to | i would love to | i want to",
    ),
    *phrases(Kind.REQUEST, "i want", Position.ANY, "i would like"),
    *phrases(
        Kind.FILLER,
        "",
        Position.ANY,
        "actually | basically | simply | by the way | you know | i mean | to be honest | honestly"
        " | frankly | in fact",
    ),
    *phrases(Kind.FILLER, "", Position.START, "so | well | ok | okay | um | anyway"),
    *phrases(Kind.FILLER, "", Position.BEFORE_QUESTION, "so | well | ok | okay"),
    *phrases(
        Kind.FILLER, "", Position.LEAD, "i think | i believe | i feel like | in my opinion | imho"
    ),
    *phrases(Kind.FUNCTION_WORD, "way to", Position.ANY, "any way to"),
    *phrases(Kind.SYNONYM, "to", Position.ANY, "in order to | so as to"),
    *phrases(
        Kind.SYNONYM, "because_of", Position.ANY, "because of | due to | owing to | on account of"
    ),
    *phrases(Kind.SYNONYM, "#lot", Position.ANY, "a lot of | lots of | plenty of | loads of"),
    *phrases(Kind.SYNONYM, "#few", Position.ANY, "a few | a couple of | a couple | a handful of"),
    *phrases(Kind.SYNONYM, "#little", Position.ANY, "a little | a bit of | a bit | a little bit"),
    *phrases(Kind.SYNONYM, "#example", Position.ANY, "for example | for instance | e.g. | e.g"),
    *phrases(Kind.SYNONYM, "#means", Position.ANY, "that is to say | i.e. | i.e"),
    *phrases(Kind.SYNONYM, "asap", Position.ANY, "as soon as possible | asap | a.s.a.p."),
    *phrases(
        Kind.SYNONYM,
        "now",
        Position.ANY,
        "right now | at the moment | at present | at this time | at this moment",
    ),
    *phrases(
        Kind.SYNONYM,
        "login",
        Position.ANY,
        "log in to | log into | sign in to | sign into | log in | sign in | log on to | log on",
    ),
    *phrases(Kind.SYNONYM, "signup", Position.ANY, "sign up"),
    *phrases(
        Kind.SYNONYM,
        "#usa",
        Position.ANY,
        "united states of america | united states | u.s. | u.s.a. | usa | u.s",
    ),
    *phrases(Kind.SYNONYM, "uk", Position.ANY, "united kingdom | u.k. | u.k"),
    *phrases(Kind.SYNONYM, "un", Position.ANY, "united nations | u.n. | u.n"),
    *phrases(Kind.SYNONYM, "eu", Position.ANY, "european union | e.u. | e.u"),
    *phrases(Kind.SYNONYM, "can", Position.ANY, "is able to | are able to | am able to"),
    *phrases(Kind.NUMBER_FORMAT, "%", Position.ANY, "per cent | percent | percents"),
    *phrases(Kind.SYNONYM, "each", Position.ANY, "each and every"),
    *phrases(
        Kind.SYNONYM, "about", Position.ANY, "with regard to | with respect to | in regard to"
    ),
    *phrases(Kind.SYNONYM, "although", Position.ANY, "even though | though"),
    *phrases(
        Kind.SYNONYM, "sorry", Position.ANY, "i am sorry | i apologize | i apologise | my apologies"
    ),
    *phrases(Kind.CONTRACTION, "can not", Position.ANY, "cannot | cant"),
    *phrases(Kind.CONTRACTION, "do not", Position.ANY, "dont"),
    *phrases(Kind.CONTRACTION, "does not", Position.ANY, "doesnt"),
    *phrases(Kind.CONTRACTION, "did not", Position.ANY, "didnt"),
    *phrases(Kind.CONTRACTION, "is not", Position.ANY, "isnt"),
    *phrases(Kind.CONTRACTION, "will not", Position.ANY, "wont"),
    *phrases(Kind.CONTRACTION, "what is", Position.ANY, "whats"),
    *phrases(Kind.CONTRACTION, "i am", Position.ANY, "im"),
    *phrases(Kind.CONTRACTION, "going to", Position.ANY, "gonna"),
    *phrases(Kind.CONTRACTION, "want to", Position.ANY, "wanna"),
    *phrases(Kind.FUNCTION_WORD, "", Position.ANY, "there is | there are"),
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
    light=words("my our"),
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
        " analyse identify review return replace open close activate deactivate forward"
    ),
    conjunctions=words("and or &"),
    fronting=words(
        "in on at after before when while if because during since although as until unless"
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
    synonyms=groups(_SYNONYMS),
    opposites=groups(_OPPOSITES),
    phrases=by_first_word(_PHRASES),
)
