"""Prepares the words of a text: contractions written out, fixed phrases replaced or left out.

"Can you please tell me what's ..." and "what is ..." come out of here as the same items.
"""

from dataclasses import dataclass

from eventstream.cache.guard import inflection, quantities, shorthand
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import (
    Lexicon,
    Phrase,
    PhraseIndex,
    Position,
    phrases_at,
    words,
)
from eventstream.cache.guard.terms import Analysis
from eventstream.cache.guard.tokens import Token, TokenType
from eventstream.cache.guard.typing_slips import slips_of

_BOUNDARIES = frozenset({TokenType.STOP, TokenType.PAUSE, TokenType.QUESTION})
_CONDITIONS = words("if whether si")
_SHORT_FOR = {"q": "que", "k": "que", "xq": "porque", "pq": "porque"}
_BUT = words("but pero")
_SIGNATURE_ITEMS = 9  # at most that many words and signs from the formula to the end
# "que" without its accent mostly joins ("quiero saber que ..."), so it asks only at a start.
_ASKS_WITHOUT_ACCENT = words("como cual cuales donde cuanto cuantos cuando quien")
_ASK_WITH_QUE = words("por a de en con para desde hasta")
ASKS_WHO = words(
    "who whom whose name names sender recipient addressee signature signed signs author wrote"
    " quien quienes nombre nombres remitente destinatario firma firmas firmado firmante autor"
)
"""A text with one of these may be about the names in its greeting and under its end."""
_SPELT_WITH_STOPS = 5  # "a.t.m.", but not "p.m."
_HOW = (("how", "#to"), ("cómo",))
# Behind a noun: what belongs to somebody begins with none of these.
_IS_BEFORE = words(
    "a an the not so too very always never still already just really now gone here there my your"
    " his their our about to been on in at off out back down up away under over from with without"
    " until unavailable unable able going getting being asking telling saying coming waiting"
)
_HAS_BEFORE = words("been got")
_HAD_BEFORE = words("better been already")
_IS_AFTER = words("it that there here he she what who where how when this why everything nothing")


@dataclass(slots=True)
class Item:
    """A token or a word out of one: what phrases are matched on."""

    type: TokenType
    word: str  # lower-case; empty for anything but words
    text: str
    attached: bool
    plain: str = ""  # without accents, for Spanish phrases
    forms: frozenset[str] = frozenset()  # where it stands for any of several words


def words_of(tokens: list[Token]) -> list[str]:
    """The words among `tokens`, in lower case."""
    return [token.text.lower() for token in tokens if token.type is TokenType.WORD]


def items_of(tokens: list[Token], lexicon: Lexicon | None, analysis: Analysis) -> list[Item]:
    items: list[Item] = []
    english = lexicon is not None and lexicon.code == "en"
    spanish = lexicon is not None and lexicon.code == "es"
    skipped = False
    for at, token in enumerate(tokens):
        token_type, written, attached = token
        if skipped:
            skipped = False
            continue
        if english and token_type is TokenType.CODE:
            short = _shorthand(tokens, at)
            if short:
                analysis.note(Kind.SPELLING, written)
                items += short
                continue
        if token_type is not TokenType.WORD:
            if english and shorthand.is_thousands(tokens, at):
                items.append(Item(token_type, "", written + "000", attached))
                skipped = True
            elif token_type is TokenType.EMOJI and items and items[-1].text == written:
                analysis.note(Kind.PUNCTUATION, written)  # said twice is not said otherwise
            elif written == "-" and _joins_words(tokens, at):
                analysis.note(Kind.PUNCTUATION, written)
            elif written.startswith(("..", "…")) and _goes_on(tokens, at):
                analysis.note(Kind.PUNCTUATION, written)
                items.append(Item(TokenType.PAUSE, "", ",", attached))
            elif english and written == "@" and not attached:
                analysis.note(Kind.SPELLING, written)
                items.append(_placed("at", attached=False))
            else:
                items.append(Item(token_type, "", written, attached))
            continue
        lower = written.lower()
        if english and "." in lower and len(lower) >= _SPELT_WITH_STOPS:
            lower = written = lower.replace(".", "")
        if english and lower == "w" and shorthand.is_with(tokens, at):
            analysis.note(Kind.SPELLING, written)
            lower = written = "with"
            skipped = True
        if not english or "'" not in lower:
            if spanish and lower in _SHORT_FOR:
                lower = written = _SHORT_FOR[lower]
            plain = inflection.without_accents(lower) if spanish else lower
            items.append(Item(token_type, lower, written, attached, plain))
            continue
        following = tokens[at + 1].text.lower() if at + 1 < len(tokens) else ""
        words = _expand_contraction(lower, following)
        if len(words) > 1 and words[-1] != "'s":
            analysis.note(Kind.CONTRACTION, lower)
        for position, word in enumerate(words):
            items.append(
                Item(
                    TokenType.WORD,
                    word,
                    written if len(words) == 1 else word,
                    attached and position == 0,
                    word,
                )
            )
    return items


def _goes_on(tokens: list[Token], at: int) -> bool:
    """Whether words follow: dots at the end may mean the contrary ("Great service...")."""
    return at + 1 < len(tokens) and tokens[at + 1].type is TokenType.WORD


def _shorthand(tokens: list[Token], at: int) -> list[Item]:
    """The items of a code that is short for words; none for any other."""
    return [_placed(word, attached=tokens[at].attached) for word in shorthand.spelt_out(tokens[at])]


def _joins_words(tokens: list[Token], at: int) -> bool:
    """Whether a hyphen is that of "five-minute" or "e-mail"."""
    return (
        0 < at < len(tokens) - 1
        and tokens[at].attached
        and tokens[at + 1].attached
        and tokens[at - 1].type in (TokenType.WORD, TokenType.NUMBER)
        and tokens[at + 1].type is TokenType.WORD
    )


def _expand_contraction(word: str, following: str) -> list[str]:
    if word.endswith("n't"):
        base = {"ca": "can", "wo": "will", "sha": "shall", "dos": "does"}.get(word[:-3], word[:-3])
        return [base, "not"]
    base, _, ending = word.rpartition("'")
    if word == "let's":
        return ["let", "us"]
    if ending == "s":
        if base in _IS_AFTER:
            return [base, "has" if following in _HAS_BEFORE else "is"]
        return [base, "has" if following == "been" else "is" if following in _IS_BEFORE else "'s"]
    if ending == "d" and following in _HAD_BEFORE:
        return [base, "had"]
    full = {"re": "are", "ll": "will", "ve": "have", "d": "would", "m": "am"}.get(ending)
    return [base, full] if full and base else [word]


def _phrases_at(items: list[Item], position: int, index: PhraseIndex) -> tuple[Phrase, ...]:
    following = items[position + 1].plain if position + 1 < len(items) else ""
    return phrases_at(index, items[position].plain, following)


def written_out(items: list[Item], lexicon: Lexicon, analysis: Analysis) -> list[Item]:
    """The items with shorthand, contractions without an apostrophe and slips of the keyboard
    written out, so that the phrases which they are part of can be found."""
    vocabulary = lexicon.vocabulary
    for at, item in enumerate(items):
        word = item.word
        if word and word not in vocabulary and (at == 0 or item.text.islower()):
            meant = slips_of(lexicon).meant(word)
            if meant != word:
                analysis.note(Kind.TYPING, word)
                items[at] = _placed(meant, attached=item.attached)
    index = lexicon.shorthand
    if index.keys().isdisjoint([item.plain for item in items]):
        return items
    result: list[Item] = []
    position = 0
    while position < len(items):
        phrase = None
        if items[position].plain in index and not _is_name(items, position):
            for candidate in _phrases_at(items, position, index):
                if _matches(candidate, items, position, result, lexicon):
                    phrase = candidate
                    break
        if phrase is None:
            result.append(items[position])
            position += 1
        else:
            analysis.note(phrase.kind, " ".join(phrase.words))
            result.extend(_all_placed(phrase.replacement, items[position]))
            position += len(phrase.words)
    return result


def _is_name(items: list[Item], position: int) -> bool:
    """Whether a letter or the like is none of the shorthand: "R" and "Max", or the last word."""
    item = items[position]
    if item.plain not in shorthand.SMALL_ONLY:
        return False
    following = items[position + 1].type if position + 1 < len(items) else None
    return not item.text.islower() or following is not TokenType.WORD


def without_courtesies(items: list[Item], lexicon: Lexicon, analysis: Analysis) -> list[Item]:
    """The items without words like "please", which may stand inside other phrases."""
    index = lexicon.courtesies
    result: list[Item] = []
    position = 0
    while position < len(items):
        used = 0
        if items[position].plain in index:
            for phrase in _phrases_at(items, position, index):
                if _matches(phrase, items, position, result, lexicon):
                    analysis.note(Kind.COURTESY, " ".join(phrase.words))
                    used = len(phrase.words)
                    break
        if not used:
            result.append(items[position])
        position += used or 1
    return result


def without_signature(items: list[Item], lexicon: Lexicon, analysis: Analysis) -> list[Item]:
    """The items without a closing formula at the end, and the name under it.

    "What is the sender's name? Regards, Tom" asks for just that, and keeps both.
    """
    end = len(items)
    while end and items[end - 1].type in _BOUNDARIES:
        end -= 1
    for start in range(max(1, end - _SIGNATURE_ITEMS), end):
        if items[start - 1].type not in _BOUNDARIES or items[start].plain not in lexicon.phrases:
            continue
        for phrase in _phrases_at(items, start, lexicon.phrases):
            behind = start + len(phrase.words)
            if (
                phrase.position is Position.CLOSING
                and tuple(item.plain for item in items[start:behind]) == phrase.words
                and all(
                    item.type in _BOUNDARIES or item.text[:1].isupper()
                    for item in items[behind:end]
                )
                and (behind == end or _is_boundary(items[behind]))
                and (behind == end or ASKS_WHO.isdisjoint(item.plain for item in items[:start]))
            ):
                analysis.note(Kind.COURTESY, " ".join(phrase.words))
                return items[:start]
    return items


def apply_phrases(
    items: list[Item], lexicon: Lexicon, analysis: Analysis
) -> tuple[list[Item], dict[int, bool]]:
    """The items with fixed phrases replaced, and where a question (True) or order (False) begins.

    "Could you send me the invoice?" is an order in spite of its question mark.
    """
    result: list[Item] = []
    moods: dict[int, bool] = {}
    index = lexicon.phrases
    position = 0
    while position < len(items):
        item = items[position]
        phrase = None
        if item.plain in index and not _is_name(items, position):
            for candidate in _phrases_at(items, position, index):
                if _matches(candidate, items, position, result, lexicon):
                    phrase = candidate
                    break
        if phrase is None:
            result.append(item)
            position += 1
            continue
        analysis.note(phrase.kind, " ".join(phrase.words))
        first = items[position]
        position += len(phrase.words)
        if phrase.kind is Kind.COURTESY and not any(map(_is_word, result)):
            position = behind_but(items, position)
        if phrase.kind is Kind.REQUEST and phrase.position is Position.BEFORE_QUESTION:
            moods[len(result)] = True
            while items[position].type is TokenType.PAUSE:
                position += 1
            if items[position].word in _CONDITIONS:
                position += 1
        elif phrase.position is Position.BEFORE_ORDER:
            moods[len(result)] = False
        elif phrase.replacement in _HOW:
            moods[len(result)] = True
        result.extend(_all_placed(phrase.replacement, first))
    return result, moods


def _all_placed(words: tuple[str, ...], instead_of: Item) -> list[Item]:
    """Items for `words`, the first of which stands where `instead_of` stood."""
    return [
        _placed(word, attached=at == 0 and instead_of.attached) for at, word in enumerate(words)
    ]


def _placed(word: str, *, attached: bool) -> Item:
    if word.isdecimal():
        return Item(TokenType.NUMBER, "", word, attached)
    return Item(TokenType.WORD, word, word, attached, inflection.without_accents(word))


def _matches(
    phrase: Phrase, items: list[Item], position: int, before: list[Item], lexicon: Lexicon
) -> bool:
    end = position + len(phrase.words)
    if end > len(items):
        return False
    for offset, word in enumerate(phrase.words):
        if items[position + offset].plain != word:
            return False
    following = items[end] if end < len(items) else None
    match phrase.position:
        case Position.ANY:
            return True
        case Position.START:
            if any(item.type is TokenType.WORD for item in before):
                return False
            if phrase.kind is Kind.GREETING:
                return _is_boundary(following) or _words_follow(items, end, 3)
            return following is not None and (
                phrase.kind is not Kind.FILLER or following.type is TokenType.PAUSE
            )
        case Position.EDGE:
            starts = position == 0 or _is_boundary(items[position - 1])
            return starts and _is_boundary(following)
        case Position.BEFORE_QUESTION:
            paused = following is not None and following.type is TokenType.PAUSE
            while following is not None and following.type is TokenType.PAUSE:
                end += 1
                following = items[end] if end < len(items) else None
            if following is None or following.word == "que":
                return False
            return (
                following.word in lexicon.question_words
                or (paused and lexicon.code == "en" and following.word in lexicon.questions)
                or following.word in _CONDITIONS
                or (lexicon.code == "es" and following.plain in _ASKS_WITHOUT_ACCENT)
                or (
                    following.word in _ASK_WITH_QUE
                    and end + 1 < len(items)
                    and items[end + 1].word == "qué"
                )
            )
        case Position.LEAD:
            if any(item.type is TokenType.WORD for item in before):
                return False
            if following is not None and following.type is TokenType.PAUSE:
                end += 1
            return _words_follow(items, end, 2)
        case Position.BEFORE_ORDER:
            return following is not None and following.word in lexicon.order_verbs
        case Position.BEFORE_INFINITIVE:
            return following is not None and inflection.is_infinitive(following.word)
        case Position.BEFORE_NUMBER:
            return _is_number(following, lexicon)
        case Position.CLOSING:
            return False


def behind_but(items: list[Item], position: int) -> int:
    """The position behind ", but": "Sorry to bother you, but ..." begins behind it."""
    at = position
    while at < len(items) and items[at].type is TokenType.PAUSE:
        at += 1
    return at + 1 if at < len(items) and items[at].word in _BUT else position


def _is_word(item: Item) -> bool:
    return item.type is TokenType.WORD


def _is_number(item: Item | None, lexicon: Lexicon) -> bool:
    return item is not None and (
        item.type is TokenType.NUMBER
        or item.word in lexicon.numbers
        or item.text in quantities.CURRENCY_SIGNS
    )


def _is_boundary(item: Item | None) -> bool:
    return item is None or item.type in _BOUNDARIES


def _words_follow(items: list[Item], start: int, count: int) -> bool:
    following = items[start : start + count]
    return len(following) == count and all(item.type is TokenType.WORD for item in following)
