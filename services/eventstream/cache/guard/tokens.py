"""Cuts a text into words, numbers, codes, emoji and signs without dropping any of them.

Whatever no pattern recognises becomes a `SIGN` token of one character, so a difference in a
character nobody thought of is still seen. No meaning is decided here.
"""

import re
import unicodedata
from enum import IntEnum, auto
from typing import NamedTuple


class TokenType(IntEnum):
    WORD = auto()
    NUMBER = auto()  # digits with separators and sign, as written
    DATE = auto()
    TIME = auto()
    CODE = auto()  # identifiers, addresses, versions, code spans
    EMOJI = auto()  # emoji and emoticons
    PAUSE = auto()  # commas, dashes, brackets: they shape a sentence without adding to it
    QUOTE = auto()
    STOP = auto()  # full stops, exclamation marks, line breaks
    QUESTION = auto()
    SIGN = auto()  # everything else


class Token(NamedTuple):
    """`text` as written; `attached`: nothing, not even a space, stood before it."""

    type: TokenType
    text: str
    attached: bool


_LETTER = r"[^\W\d_]"
_PATTERN = re.compile(
    rf"""
      (?P<line>[^\S\n]*\n\s*)
    | [^\S\t]*(?:(?P<tab>\t+)                                      # between two fields
    | (?P<word>{_LETTER}+(?=[ ,])                              # most of them
        | {_LETTER}(?:\.{_LETTER})+\.?(?!\w)                    # U.S., e.g., p.m.
        | {_LETTER}+(?:'{_LETTER}+)*(?![\w+\#@]|[._:/\\]\w|://) )
    | (?P<date>\d{{4}}-\d{{1,2}}-\d{{1,2}}(?!\w)|\d{{1,2}}[/-]\d{{1,2}}[/-]\d{{2,4}}(?!\w))
    | (?P<time>\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?!\w))
    | (?P<version>\d+\.\d+\.\d+(?:[.-]\w+)*(?!\w)(?<!\.\d{{3}}))
    | (?P<number>(?:(?<![\w)])[-−+])?(?:\d{{1,3}}(?:[.,]\d{{3}})+(?!\d)|\d+)(?:[.,]\d+)?)
    | (?P<code>`[^`\n]+`|https?://[^\s<>"]*\w/?|[\w.+-]{{1,64}}@\w[\w-]*(?:\.[\w-]+)+)
    | (?P<emoticon>(?<!\w)[:;=8]['^o-]?[)(\][DPp/\\|3*]+(?!\w)|<3)
    | (?P<identifier>\w+(?:[._:/\\@\#-]+\w+)*[+\#]*(?:\(\))?)
    | (?P<ellipsis>\.{{2,}}|…)
    | (?P<stop>[.!¡。])
    | (?P<question>[?¿؟？])
    | (?P<quote>["'])
    | (?P<pause>[,;:()\[\]—–-])
    | (?P<other>\S))
    """,
    re.VERBOSE,
)
_GROUPS = {
    "line": TokenType.STOP,
    "word": TokenType.WORD,
    "date": TokenType.DATE,
    "time": TokenType.TIME,
    "version": TokenType.CODE,
    "number": TokenType.NUMBER,
    "code": TokenType.CODE,
    "emoticon": TokenType.EMOJI,
    "identifier": TokenType.CODE,
    "ellipsis": TokenType.SIGN,
    "stop": TokenType.STOP,
    "question": TokenType.QUESTION,
    "quote": TokenType.QUOTE,
    "pause": TokenType.PAUSE,
}
# By the number of the group; what has no type there is looked at more closely.
_TYPES = [TokenType.SIGN, *(_GROUPS.get(name, TokenType.SIGN) for name in _PATTERN.groupindex)]
_LINE, _OTHER = _PATTERN.groupindex["line"], _PATTERN.groupindex["other"]
_EMOJI_CATEGORIES = frozenset({"So", "Sk", "Cf", "Mn"})


def tokenise(text: str, limit: int) -> list[Token] | None:
    """The tokens of `text`, in order; spaces are left out, line breaks are stops, tabs are signs.

    None when there are more than `limit`.
    """
    tokens: list[Token] = []
    end = 0  # where the last token ended; -1: behind a line break nothing is attached
    for match in _PATTERN.finditer(text):
        group = match.lastindex or _OTHER
        start, stop = match.span(group)
        written = text[start:stop]
        token_type = _TYPES[group]
        if group == _OTHER and unicodedata.category(written) in _EMOJI_CATEGORIES:
            token_type = TokenType.EMOJI
        if len(tokens) == limit:
            return None
        tokens.append(Token(token_type, written, start == end))
        end = -1 if group == _LINE else stop
    return tokens
