"""Reads numbers, times, dates, currencies and units at one place of a text, in figures or words.

`quantities` says how they are written down in the end; this says which words belong to them.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from eventstream.cache.guard import quantities
from eventstream.cache.guard.items import Item
from eventstream.cache.guard.kinds import Kind
from eventstream.cache.guard.lexicon import Lexicon, words
from eventstream.cache.guard.terms import MONTH_KEY
from eventstream.cache.guard.tokens import TokenType
from eventstream.cache.normalise import fold_code, fold_unit

_NUMBER_JOINS = words("and y")
_AT = words("at las la")
_BEHIND = words("on today tomorrow tonight hoy mañana o'clock")
_ENDS = frozenset({TokenType.STOP, TokenType.PAUSE, TokenType.QUESTION})
_CLOCK_PARTS = {"half": 30, "quarter": 15, "media": 30, "cuarto": 15}
_UNTIL_NOON = frozenset(range(1, 12))
_NO_HOURS = frozenset[int]()
# The hours that each part of the day has before noon and after it; it says nothing of others.
_HALVES = {
    ("in", "the", "morning"): (_UNTIL_NOON, _NO_HOURS),
    ("in", "the", "afternoon"): (_NO_HOURS, frozenset({12, *range(1, 7)})),
    ("in", "the", "evening"): (_NO_HOURS, frozenset(range(4, 12))),
    ("de", "la", "madrugada"): (frozenset({12, *range(1, 7)}), _NO_HOURS),
    ("de", "la", "mañana"): (_UNTIL_NOON, _NO_HOURS),
    ("de", "la", "tarde"): (_NO_HOURS, frozenset({12, *range(1, 9)})),
    ("de", "la", "noche"): (frozenset({12, *range(1, 6)}), frozenset(range(7, 12))),
}


class Amount(NamedTuple):
    """What was read: the terms' keys, kinds and surfaces, and the number of items they took."""

    terms: tuple[tuple[str, Kind, str], ...]
    used: int


def _one(key: str, kind: Kind, surface: str, used: int) -> Amount:
    return Amount(((key, kind, surface),), used)


class Amounts:
    """The amounts among the items of one text."""

    def __init__(self, items: Sequence[Item], lexicon: Lexicon | None) -> None:
        self._items = items
        self._lexicon = lexicon
        self._code = lexicon.code if lexicon is not None else None

    def _item(self, position: int) -> Item | None:
        return self._items[position] if 0 <= position < len(self._items) else None

    def _word(self, position: int) -> str:
        item = self._item(position)
        return item.word if item is not None else ""

    def date(self, position: int) -> Amount:
        """The date in figures at `position`."""
        written = self._items[position].text
        return _one(quantities.date_key(written, self._code), Kind.DATE_TIME, written, 1)

    def time(self, position: int) -> Amount:
        """The time in figures ("7:30", "7:30 pm") at `position`."""
        written = self._items[position].text
        half, used = self._half(position + 1, int(written.split(":")[0]), certain=True)
        return _one(quantities.time_key(written, half), Kind.DATE_TIME, written, 1 + used)

    def sign(self, position: int) -> Amount | None:
        """The currency or per cent sign at `position`, with the number that it belongs to."""
        item = self._items[position]
        currency = quantities.CURRENCY_SIGNS.get(item.text)
        if currency is not None:
            previous, following = self._item(position - 1), self._item(position + 1)
            before_number = following is not None and following.type is TokenType.NUMBER
            after_number = previous is not None and previous.type is TokenType.NUMBER
            sign = (currency, Kind.CURRENCY, item.text)
            if before_number and not (after_number and item.attached):
                number = self.number(position + 1)
                return Amount((*number.terms, sign), 1 + number.used)
            return Amount((sign,), 1)
        if item.text == "%":
            return _one("%", Kind.UNIT, item.text, 1)
        return None

    def number(self, position: int) -> Amount:
        """The number in figures at `position`, and what hangs on it ("3rd", "3pm", "3 million")."""
        item = self._items[position]
        hour = int(item.text) if item.text.isdecimal() and len(item.text) <= 2 else None
        certain = self._word(position - 1) in _AT
        half, used = self._half(position + 1, hour, certain=certain)
        if half is not None and hour is not None:
            return _one(quantities.time_key(item.text, half), Kind.DATE_TIME, item.text, 1 + used)
        key = quantities.number_key(item.text, self._code)
        following = self._item(position + 1)
        if self._is_hour(position, following):
            used = 2 if following is not None and following.word == "o'clock" else 1
            return _one(quantities.time_key(item.text, None), Kind.DATE_TIME, item.text, used)
        if self._counts_money(position):
            key = quantities.money_key(key)
        if following is None:
            return _one(key, Kind.NUMBER, item.text, 1)
        if not following.attached:
            return self._times_thousands(key, position)
        if (
            following.word == "k"
            and self._in_currency(position)
            and key.count(".") <= 1
            and key.replace(".", "").isdecimal()
        ):
            value = Decimal(key) * 1000
            if value == int(value):
                return _one(str(int(value)), Kind.NUMBER, item.text, 2)
        if following.type is TokenType.CODE or (
            following.type is TokenType.WORD
            and following.word not in quantities.UNITS
            and following.word not in quantities.CURRENCIES
            and following.word not in quantities.ORDINAL_ENDINGS
        ):
            return _one(fold_code(item.text + following.text), Kind.CODE, item.text, 2)
        if following.type is TokenType.WORD and following.word in quantities.ORDINAL_ENDINGS:
            return _one(f"#{item.text}", Kind.NUMBER, item.text + following.word, 2)
        return _one(key, Kind.NUMBER, item.text, 1)

    def _is_hour(self, position: int, following: Item | None) -> bool:
        """Whether a number is the hour of a clock: "at 8", "8 o'clock", "a las 20".

        Never of one with its unit: "a las 24 h" may be after as many hours.
        """
        text = self._items[position].text
        if not (text.isdigit() and len(text) <= 2 and 1 <= int(text) <= 24):
            return False
        if following is not None and following.word == "o'clock":
            return True
        hour = self._word(position - 1) == "at" or self._at_las(position)
        return hour and (following is None or following.type in _ENDS or following.word in _BEHIND)

    def _at_las(self, position: int) -> bool:
        """Whether "a las" stands before: "trabajo las 8" is about hours, and about no clock."""
        return self._word(position - 1) == "las" and self._word(position - 2) == "a"

    def _in_currency(self, position: int) -> bool:
        """Whether a sum is meant ("£5k", "5k euros"): a "4K" screen has no 4,000 of anything."""
        before, behind = self._item(position - 1), self._item(position + 2)
        return (before is not None and before.text in quantities.CURRENCY_SIGNS) or (
            behind is not None
            and (behind.text in quantities.CURRENCY_SIGNS or behind.word in quantities.CURRENCIES)
        )

    def _counts_money(self, position: int) -> bool:
        before, behind = self._item(position - 1), self._item(position + 1)
        return (before is not None and before.text in quantities.CURRENCY_SIGNS) or (
            behind is not None
            and (behind.text in quantities.CURRENCY_SIGNS or behind.word in quantities.CURRENCIES)
        )

    def _times_thousands(self, key: str, position: int) -> Amount:
        """ "3 million" as one number, where the figures are plain."""
        surface = self._items[position].text
        lexicon = self._lexicon
        factor = lexicon.numbers.get(self._word(position + 1), 0) if lexicon is not None else 0
        if factor < 1000 or key.count(".") > 1 or not key.replace(".", "").isdigit():
            return _one(key, Kind.NUMBER, surface, 1)
        value = Decimal(key) * factor
        if value != int(value):
            return _one(key, Kind.NUMBER, surface, 1)
        return _one(str(int(value)), Kind.NUMBER, surface, 2)

    def word(self, position: int, after_number: bool) -> Amount | None:
        """The amount in words at `position`; `after_number`: a number stands right before it."""
        lexicon = self._lexicon
        assert lexicon is not None
        word = self._word(position)
        if not after_number and word not in lexicon.quantity_words:
            return self._clock(position) if word in _CLOCK_PARTS else None
        clock = self._clock(position)
        if clock is not None:
            return clock
        if word in lexicon.numbers:
            value, used = self._spelled(position, lexicon)
            behind = self._item(position + used)
            named = behind is not None and behind.word == "o'clock"
            ends = behind is None or behind.type in _ENDS or behind.word in _BEHIND
            at = self._word(position - 1) == "at" or self._at_las(position)
            if 1 <= value <= 24 and (named or (ends and at)):
                time = quantities.time_key(str(value), None)
                return _one(time, Kind.DATE_TIME, word, used + named)
            return _one(str(value), Kind.NUMBER, word, used)
        following = self._item(position + 1)
        before_number = following is not None and following.type is TokenType.NUMBER
        if word in lexicon.ordinals:
            return _one(f"#{lexicon.ordinals[word]}", Kind.NUMBER, word, 1)
        if word in lexicon.weekdays:
            return _one(f"weekday{lexicon.weekdays[word]}", Kind.DATE_TIME, word, 1)
        if word in lexicon.months and (
            word not in ("may", "march") or before_number or after_number
        ):
            return _one(f"{MONTH_KEY}{lexicon.months[word]}", Kind.DATE_TIME, word, 1)
        if word in quantities.CURRENCIES:
            return _one(quantities.CURRENCIES[word], Kind.CURRENCY, word, 1)
        if after_number and word in quantities.UNITS:
            written = fold_unit(self._items[position].text)
            unit = quantities.UNITS[word] if written == word else written
            return _one(f"unit:{unit}", Kind.UNIT, word, 1)
        if word == "%":
            return _one("%", Kind.UNIT, word, 1)
        return None

    def _spelled(self, position: int, lexicon: Lexicon) -> tuple[int, int]:
        """The value of a number in words, and how many of them it takes."""
        total, current, used = 0, lexicon.numbers[self._word(position)], 1
        if current >= 1000:
            total, current = current, 0
        while True:
            at = position + used
            joined = self._word(at) in _NUMBER_JOINS
            value = lexicon.numbers.get(self._word(at + joined))
            if value is None:
                break
            tens = current % 100
            if value in (100, 1000, 10**6, 10**9, 10**12) and not joined:
                if value == 100 and not (1 <= current <= 9 and self._code == "en"):
                    break
                if value == 100:
                    current *= 100
                else:
                    total, current = total + max(current, 1) * value, 0
            elif 1 <= value <= 9 and tens >= 20 and tens % 10 == 0:
                if joined != (self._code == "es"):
                    break
                current += value
            elif value < 100 and tens == 0 and (current or total) and value > 0:
                if joined and (self._code == "es" or current == 0):
                    break
                current += value
            elif value < 1000 and value % 100 == 0 and current == 0 and total and not joined:
                current = value
            else:
                break
            used += 1 + joined
        return total + current, used

    def _clock(self, position: int) -> Amount | None:
        """ "half past seven", "quarter to eight"; "siete y media", "ocho menos cuarto"."""
        lexicon = self._lexicon
        assert lexicon is not None
        first, second = self._item(position), self._item(position + 2)
        link = self._word(position + 1)
        if first is None or second is None:
            return None
        if lexicon.code == "en":
            part, hour = _CLOCK_PARTS.get(first.word), self._hour(second)
            if part is None or hour is None or link not in ("past", "to"):
                return None
            later = link == "past"
        else:
            if self._word(position - 1) not in ("las", "la"):
                return None
            part, hour = _CLOCK_PARTS.get(second.word), self._hour(first)
            if part is None or hour is None or link not in ("y", "menos"):
                return None
            later = link == "y"
        minutes = hour * 60 + (part if later else -part)
        at = (minutes // 60 - 1) % 12 + 1
        half, used = self._half(position + 3, at, certain=True)
        written = f"{at}:{minutes % 60:02d}"
        surface = f"{first.word} {link} {second.word}"
        return _one(quantities.time_key(written, half), Kind.DATE_TIME, surface, 3 + used)

    def _hour(self, item: Item) -> int | None:
        lexicon = self._lexicon
        assert lexicon is not None
        value = lexicon.numbers.get(item.word)
        if item.word == "una":
            value = 1
        if item.type is TokenType.NUMBER and item.text.isdigit():
            value = int(item.text)
        return value if value is not None and 1 <= value <= 12 else None

    def _half(self, position: int, hour: int | None, *, certain: bool) -> tuple[str | None, int]:
        """The half of the day at `position`; words for it count where a time is `certain`, and
        where its `hour` leaves no doubt."""
        word = self._word(position)
        if word in quantities.MORNING:
            return "am", 1
        if word in quantities.AFTERNOON:
            return "pm", 1
        if certain:
            three = (word, self._word(position + 1), self._word(position + 2))
            before_noon, after_noon = _HALVES.get(three, (_NO_HOURS, _NO_HOURS))
            if hour in before_noon or hour in after_noon:
                return "am" if hour in before_noon else "pm", 3
        return None, 0
