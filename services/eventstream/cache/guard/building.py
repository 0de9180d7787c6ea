"""Makes terms of items: a walk over one text that decides what each word and sign of it is.

What a reader can do without (articles, helper verbs, commas) is noted; all else becomes a `Term`.
"""

from eventstream.cache.guard import inflection
from eventstream.cache.guard.amounts import Amount, Amounts
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.questions import (
    COPULAS,
    closes_quote,
    opens_question,
    pause_in_sentence,
)
from eventstream.cache.guard.terms import Analysis, Term, join_dates
from eventstream.cache.guard.tokens import TokenType
from eventstream.cache.normalise import fold_code

_STATES = words("was be been ser estar era eran estaba estaban fue fueron")
_NO_HELPERS = words("ago maybe be been being")
_SAME_HELPER = {"has": "have", "were": "was"}  # the subject beside them tells the same
_ASKS_AFTER_HELPER = words("what where when why how")
# Participles that look like another verb form: without "is" they would tell another story.
_LIKE_PARTICIPLE = words(
    "hit hurt cut put set shut beat cost bet bid burst cast let quit read rid shed spread split"
    " upset run come become overcome paid sold sent made built bought brought caught found held"
    " kept left lost met won heard told taught thought felt dealt led fed fought"
)
_ASKS_FOR_SUBJECT = words("who what which whose how")
_BEFORE_DAYS = words("el los")
_ESTAR_PERSONS = {"esta": "3s", "estan": "3p", "estoy": "1s", "estas": "2s"}


class Builder:
    """Walks over the items once and emits terms."""

    def __init__(
        self,
        items: list[Item],
        lexicon: Lexicon | None,
        analysis: Analysis,
        moods: dict[int, bool],
    ) -> None:
        self._items = items
        self._amounts = Amounts(items, lexicon)
        self._lexicon = lexicon
        self._analysis = analysis
        self._moods = moods
        self._after_pause = self._after_light = False
        self._determiners = lexicon.possessives if lexicon is not None else frozenset[str]()
        self._notable = lexicon.notable if lexicon is not None else frozenset[str]()
        self._noun = False
        self._gender = ""
        self._after_copula = False
        self._sentence_start = True
        self._asking = self._ordering = False
        self._empty_sentence = True
        self._sentence_at = self._sentence_from = 0
        self._helped = False

    def build(self) -> Analysis:
        position = 0
        items, moods, word = self._items, self._moods, TokenType.WORD
        while position < len(items):
            if position in moods:
                mood = moods[position]
                self._asking, self._ordering = mood, not mood
            if items[position].type is word:
                position += self._word(position)
            else:
                position += self._other(position)
        self._end_sentence()
        self._analysis.terms = join_dates(self._analysis.terms)
        return self._analysis

    def _end_sentence(self) -> None:
        if not self._empty_sentence:
            self._analysis.questions.append(self._asking)
            if self._asking and self._lexicon is not None and self._lexicon.code == "en":
                self._helper_to_front()
        self._sentence_at = len(self._analysis.terms)
        self._helped = False
        self._asking = self._ordering = False
        self._sentence_start = True
        self._empty_sentence = True

    def _helper_to_front(self) -> None:
        """ "Where can I park" and "where I can park" ask the same: the helper verb leads both."""
        terms = self._analysis.terms
        for at in range(self._sentence_at, len(terms)):
            if terms[at].kind in (Kind.MODALITY, Kind.TENSE) and terms[at].key not in _NO_HELPERS:
                helper = terms.pop(at)
                if helper.after_pause and at < len(terms):  # "If it rains, can I ..."
                    terms[at] = terms[at]._replace(after_pause=True)
                terms.insert(self._sentence_at, helper)
                return

    def _emit(
        self,
        key: str,
        kind: Kind,
        surface: str,
        forms: frozenset[str] = frozenset(),
        *,
        is_open: bool = False,
        proper: bool = False,
    ) -> None:
        self._analysis.terms.append(
            Term(
                key,
                kind,
                surface,
                forms,
                is_open,
                proper,
                self._after_pause,
                self._after_light,
                self._noun,
                self._gender if is_open else "",
                self._after_copula,
            )
        )
        self._after_copula = False
        self._after_pause = False
        self._noun = surface in self._determiners
        self._gender = ""
        self._after_light = kind is Kind.RELATION or key in _STATES
        self._empty_sentence = False

    def _item(self, position: int) -> Item | None:
        return self._items[position] if 0 <= position < len(self._items) else None

    def _word_at(self, position: int) -> str:
        item = self._item(position)
        return item.word if item is not None else ""

    # Everything but words

    def _other(self, position: int) -> int:
        item = self._items[position]
        following = self._item(position + 1)
        match item.type:
            case TokenType.NUMBER:
                return self._amount(self._amounts.number(position))
            case TokenType.DATE:
                return self._amount(self._amounts.date(position))
            case TokenType.TIME:
                return self._amount(self._amounts.time(position))
            case TokenType.CODE:
                self._emit(fold_code(item.text), Kind.CODE, item.text)
            case TokenType.EMOJI:
                self._emit(item.text, Kind.EMOJI, item.text)
            case TokenType.QUESTION:
                if item.text == "¿":
                    self._end_sentence()
                    self._asking = True
                else:
                    self._asking = not self._ordering
                    self._end_sentence()
            case TokenType.STOP:
                self._after_pause = True
                if item.text not in ("¡",):
                    self._end_sentence()
                self._analysis.note(Kind.PUNCTUATION, item.text)
            case TokenType.PAUSE:
                previous = self._item(position - 1)
                if (
                    previous is not None
                    and following is not None
                    and previous.type is following.type is TokenType.NUMBER
                    and (item.attached == following.attached)
                    and item.text not in ",;()"
                ):
                    self._emit("–" if item.text in "-—–" else item.text, Kind.SYMBOL, item.text)
                else:
                    self._after_pause = True
                    self._analysis.note(Kind.PUNCTUATION, item.text)
            case TokenType.QUOTE:
                previous = self._item(position - 1)
                if (
                    previous is not None
                    and previous.type is TokenType.NUMBER
                    and item.attached
                    and not closes_quote(self._items, position)
                ):
                    self._emit(item.text, Kind.SYMBOL, item.text)
                else:
                    self._analysis.note(Kind.PUNCTUATION, item.text)
            case _:
                return self._sign(position)
        return 1

    def _amount(self, amount: Amount) -> int:
        for key, kind, surface in amount.terms:
            self._emit(key, kind, surface)
        return amount.used

    def _sign(self, position: int) -> int:
        item = self._items[position]
        amount = self._amounts.sign(position)
        if amount is not None:
            return self._amount(amount)
        if item.text == "&":
            word = "and" if self._lexicon is None or self._lexicon.code == "en" else "y"
            self._emit(word, Kind.RELATION, item.text)
        else:
            self._emit(item.text, Kind.SYMBOL, item.text)
        return 1

    # Words

    def _word(self, position: int) -> int:
        item = self._items[position]
        lexicon = self._lexicon
        starts_sentence, self._sentence_start = self._sentence_start, False
        if starts_sentence:
            self._sentence_from = position
        written = item.text
        proper = written[:1].isupper() and not starts_sentence and not written.isupper()
        if lexicon is None:
            self._emit(item.word, Kind.WORD_REPLACED, item.word, proper=proper)
            return 1
        terms = self._analysis.terms
        after_number = bool(terms) and terms[-1].kind is Kind.NUMBER and not self._after_pause
        if not after_number and item.word not in self._notable and item.plain not in self._notable:
            return self._content(item, lexicon, proper)
        if starts_sentence and opens_question(self._items, position, lexicon):
            self._asking = True
        if after_number or item.word in lexicon.amount_words:
            amount = self._amounts.word(position, after_number)
            if amount is not None:
                return self._amount(amount)
        if item.word in _BEFORE_DAYS and self._word_at(position + 1) in lexicon.weekdays:
            self._emit(item.word, Kind.DATE_TIME, item.word)  # "el lunes" is not every Monday
            return 1
        if self._is_light(position):
            self._analysis.note(Kind.FUNCTION_WORD, item.word)
            self._after_light = True
            self._after_copula = self._after_copula or item.plain in COPULAS
            self._noun = item.word not in lexicon.light_verbs and item.word != "on"
            self._gender = self._gender_of(position)
            return 1
        if lexicon.code == "es" and item.plain in _ESTAR_PERSONS:
            used = self._progressive(position)
            if used:
                return used
        kind = lexicon.closed_classes.get(item.word)
        if kind is not None:
            key = _SAME_HELPER.get(item.word, item.word)
            if key == "como" and starts_sentence and pause_in_sentence(self._items, position):
                key = "porque"  # "Como llovía, ..."
            if kind is Kind.NEGATION and self._pause_follows(position):
                key += ","
            self._emit(key, kind, item.word)
            return 1
        return self._content(item, lexicon, proper)

    def _content(self, item: Item, lexicon: Lexicon, proper: bool) -> int:
        if item.forms:
            forms = item.forms
        elif lexicon.code == "en":
            forms = inflection.english_forms(item.word)
        elif self._analysis.terms and self._analysis.terms[-1].key in ("cómo", "como"):
            forms = inflection.spanish_forms(item.word) | inflection.infinitives_of(item.word)
        else:
            forms = inflection.spanish_forms(item.word)
        self._emit(item.word, Kind.WORD_REPLACED, item.word, forms, is_open=True, proper=proper)
        return 1

    def _gender_of(self, position: int) -> str:
        """The gender that an article says; "el" before "agua" says none."""
        lexicon = self._lexicon
        assert lexicon is not None
        gender = lexicon.genders.get(self._items[position].word, "")
        following = inflection.without_accents(self._word_at(position + 1))
        return "" if following.startswith(("a", "ha")) else gender

    def _pause_follows(self, position: int) -> bool:
        """Whether a comma or the like stands between this word and a later one ("No, thanks")."""
        at = position + 1
        while at < len(self._items) and self._items[at].type in (TokenType.PAUSE, TokenType.STOP):
            at += 1
        return position + 1 < at < len(self._items) and self._items[at - 1].text != "-"

    def _is_light(self, position: int) -> bool:
        lexicon = self._lexicon
        assert lexicon is not None
        item = self._items[position]
        word = item.word
        if word in lexicon.articles or word in lexicon.light:
            return True
        if word in lexicon.near_demonstratives or word in lexicon.far_demonstratives:
            self._analysis.demonstratives.add(
                "near" if word in lexicon.near_demonstratives else "far"
            )
            return True
        if word == "on" and self._date_follows(position):
            return True
        copula = lexicon.copulas.get(word)
        if copula is None and lexicon.code == "es" and item.plain in ("esta", "estan"):
            copula = "estar"
        next_word = self._word_at(position + 1)
        if copula is not None:
            if lexicon.code == "es":
                if inflection.is_gerund(next_word):
                    return False
                self._analysis.copulas.add(copula)
                return True
            if self._asking and self._word_at(self._sentence_from) not in _ASKS_FOR_SUBJECT:
                return True  # "if breakfast is included" asks what "is breakfast included" does
            return not (next_word.endswith("ed") or next_word in _LIKE_PARTICIPLE)
        return word in lexicon.helpers and self._only_helps(position)

    def _only_helps(self, position: int) -> bool:
        """Whether "do" or "does" carries a question or a negation and no meaning of its own."""
        lexicon = self._lexicon
        assert lexicon is not None
        before, next_word = self._word_at(position - 1), self._word_at(position + 1)
        if self._asking and not self._helped and next_word:
            self._helped = True
            return True
        if next_word in lexicon.articles:
            return not before or before in lexicon.questions
        return next_word in lexicon.persons or next_word == "not" or before in _ASKS_AFTER_HELPER

    def _date_follows(self, position: int) -> bool:
        lexicon = self._lexicon
        assert lexicon is not None
        following = self._item(position + 1)
        if following is None:
            return False
        if following.type is TokenType.DATE or following.word in lexicon.weekdays:
            return True
        near = [item.word for item in self._items[position + 1 : position + 6]]
        return any(word in lexicon.months for word in near) and (
            following.type is TokenType.NUMBER
            or following.word in lexicon.months
            or (following.word == "the" and self._items[position + 2].type is TokenType.NUMBER)
        )

    def _progressive(self, position: int) -> int:
        following = self._item(position + 1)
        if following is None or not inflection.is_gerund(following.word):
            return 0
        word = self._items[position].plain
        person = _ESTAR_PERSONS[word]
        self._analysis.note(Kind.FUNCTION_WORD, word)
        forms = inflection.spanish_progressive(following.word, person)
        key = min(form for form in forms if form.endswith(":" + person))
        self._emit(key, Kind.WORD_REPLACED, following.word, forms, is_open=True)
        return 2
