"""The text behind an exact cache key.

Two texts with the same exact key get the same answer without any further question, so only
differences that no reader can see or that never change a meaning are folded here: Unicode
composition, invisible characters, spaces inside a line, quote styles, letter case and one final
full stop. Punctuation, emoji and accents stay: "si" and "sí", "C" and "C++" are different texts. So
do tabs and control characters, which separate the fields of a record, and the case of what is read
letter by letter: "bit.ly/3xY" and "bit.ly/3Xy" are two addresses.
Anything bolder belongs to the guard, which says why.
"""

import re
import unicodedata

# Zero-width joiner and non-joiner stay: they join emoji and shape Persian and Indic words.
_INVISIBLE = re.compile(
    "[\u007f-\u0084\u0086-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
)
_LINE_BREAK = re.compile("\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
# Indentation stays as it is, because it carries meaning in code; runs inside a line do not.
_SPACES_IN_LINE = re.compile(r"(?<=\S)(?! \S)[^\S\n\t]+(?=\S)")
# As their pictures: to Python some of them are spaces. Tabs and line breaks are no such characters.
_CONTROLS = {code: 0x2400 + code for code in range(0x20) if not 0x09 <= code <= 0x0D}
_QUOTES = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201a": "'",
        "\u201b": "'",
        "\u02bc": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u201e": '"',
        "\u201f": '"',
        "\u00ab": '"',
        "\u00bb": '"',
    }
)
_ANY_QUOTE = re.compile(f"[{''.join(map(chr, _QUOTES))}]")
_CASED_UNITS = frozenset(["kb", "mb", "gb", "tb", "kbps", "mbps", "gbps", "mw", "mva"])
# Each looked for from the beginning of a word only, so that long ones take no longer.
_CASED = re.compile(
    rf"(?<!\S)(?:\d[\d.,]*\s?(?P<unit>(?:{'|'.join(sorted(_CASED_UNITS))})(?!\w))"
    r"|[^\s\d/_@\\]*[\d/_@\\]\S*)",
    re.IGNORECASE,
)
_MAY_PRECEDE_FINAL_STOP = frozenset(")]}\"'")


def clean_text(text: str) -> str:
    """`text` composed (NFC), without invisible characters, with single spaces and plain quotes.

    Case and final punctuation are kept. Never raises, lone surrogates included.
    """
    if text.isprintable():
        # Most texts, at a tenth of the time: nothing invisible, one line, no space but " ".
        composed = _composed(text).strip()
        return _SPACES_IN_LINE.sub(" ", composed) if "  " in composed else composed
    composed = _composed(_INVISIBLE.sub("", text).translate(_CONTROLS))
    lines = (line.rstrip() for line in _LINE_BREAK.sub("\n", composed).split("\n"))
    return _SPACES_IN_LINE.sub(" ", "\n".join(lines)).strip()


def _composed(text: str) -> str:
    if text.isascii():
        return text
    composed = unicodedata.normalize("NFC", text)
    return composed.translate(_QUOTES) if _ANY_QUOTE.search(composed) else composed


def exact_key_text(text: str) -> str:
    """The form under which `text` is looked up exactly; applying it twice changes nothing."""
    cleaned = clean_text(text)
    folded = _fold_case(cleaned)
    if folded != cleaned and not folded.isascii():
        folded = clean_text(folded)
    if len(folded) > 1 and folded[-1] == ".":
        before = folded[-2]
        if before.isalnum() or before in _MAY_PRECEDE_FINAL_STOP:
            return folded[:-1]
    return folded


def fold_code(written: str) -> str:
    """An identifier, address or the like in the case that it is compared in.

    In capitals throughout, or at its beginning, it is the same as in small letters; else its case
    is part of it, as in what shorteners and encoders make.
    """
    lower = _lower(written)
    return lower if written in (lower, written.upper(), lower[:1].upper() + lower[1:]) else written


def fold_unit(written: str) -> str:
    """A unit in the case that it is compared in: "Mb" are not "MB", and "mW" not "MW"."""
    lower = written.lower()
    cased = lower in _CASED_UNITS and written not in (lower, written.upper())
    return written if cased else lower


def _fold_case(text: str) -> str:
    folded = _lower(text)
    if folded == text or (text.isascii() and not any(map(_may_be_cased, text.split()))):
        return folded
    parts: list[str] = []
    end = 0
    for match in _CASED.finditer(text):
        written = match["unit"] or match[0]
        if (fold_unit if match["unit"] else fold_code)(written) == written != _lower(written):
            parts += (_lower(text[end : match.end() - len(written)]), written)
            end = match.end()
    return "".join((*parts, _lower(text[end:]))) if parts else folded


def _may_be_cased(word: str) -> bool:
    """A quick no for most words; whether the others are codes or units is not known yet."""
    if word.islower() or (word.isalpha() and word.lower() not in _CASED_UNITS):
        return False
    return word != word.lower()


def _lower(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Casefolding turns "ß" into "ss", which makes one word of the German "Maße" and "Masse".
    return "ß".join(part.casefold() for part in text.replace("ẞ", "ß").split("ß"))
