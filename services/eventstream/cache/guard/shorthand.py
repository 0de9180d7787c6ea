"""English shorthand with a digit or a sign in it: "gr8", "b4", "w/o", "12k tickets".

To the tokens it looks like a code or a number. Here are only those that nobody gives to a part or
a machine; all others are codes. Shorthand of letters only stands in `words/english_phrases.txt`.
"""

from collections.abc import Sequence

from eventstream.cache.guard.lexicon import words
from eventstream.cache.guard.tokens import Token, TokenType

_TABLE = """
gr8 great|b4 before|l8r later|l8 late|m8 mate|h8 hate|w8 wait|sk8 skate|str8 straight|2day today
|2nite tonight|2night tonight|2moro tomorrow|2mrw tomorrow|2morrow tomorrow|2gether together
|4ever forever|4get forget|any1 anyone|every1 everyone|some1 someone|no1 nobody|sum1 someone
|evry1 everyone|w/o without|w/out without|w/in within|b/c because|b/w between|a/c account
|4u for you|2u to you|thx4 thanks for|k8s kubernetes|i18n internationalization
|l10n localization|a11y accessibility|n't not|p/w password|y/day yesterday|10x thanks
|cu2moro see you tomorrow|b2b business to business|f2f face to face
"""
_MEANT = {
    code: tuple(meant)
    for code, *meant in (entry.split() for entry in _TABLE.replace("\n", "").split("|"))
}
# "R" and "Max" are names; written small, between other words, they are short for something.
SMALL_ONLY = words("r n bc max min")
_NOT_COUNTED = words(
    "monitors screens tvs televisions displays videos movies films cameras runs races res"
    " resolutions miles times is was has does steps"
)


def spelt_out(token: Token) -> tuple[str, ...]:
    """The words that a code is short for; none for most."""
    return _MEANT.get(token.text.lower(), ()) if token.type is TokenType.CODE else ()


def is_with(tokens: Sequence[Token], at: int) -> bool:
    """Whether "w" and the sign behind it are short for "with" ("rice w/ beans")."""
    return (
        tokens[at].text in ("w", "W")
        and at + 2 < len(tokens)
        and tokens[at + 1].text == "/"
        and tokens[at + 1].attached
        and not tokens[at + 2].attached
    )


def is_thousands(tokens: Sequence[Token], at: int) -> bool:
    """Whether "12k" before a plural is short for a number ("12k tickets").

    "4k videos" and "5k runs" are no thousands.
    """
    if at + 2 >= len(tokens):
        return False
    number, letter, following = tokens[at], tokens[at + 1], tokens[at + 2].text
    return (
        number.type is TokenType.NUMBER
        and number.text.isdecimal()
        and letter.text == "k"
        and letter.attached
        and following.islower()
        and following.endswith(("s", "people", "men", "children"))
        and not following.endswith("ss")
        and following not in _NOT_COUNTED
    )
