"""Decides whether the answer to one text may be given for another that lies close to it.

The vector of a text only finds candidates: "2 tickets" and "3 tickets" lie closer together than
most paraphrases. So every difference between two texts is named, and a match is accepted only
when each of them is on a list of harmless ones. English and Spanish; texts in other languages
match when their words are the same. Nothing here is learned, and nothing does any I/O beyond
reading its own lists, once.
"""

from eventstream.cache.guard.kinds import HARMLESS, MAX_CHARACTERS, Comparison, Kind

__all__ = ["HARMLESS", "MAX_CHARACTERS", "Comparison", "Kind", "compare", "preload"]


def compare(a: str, b: str) -> Comparison:
    """The kinds of difference between two texts.

    Symmetric in what it accepts; never raises. A text above `MAX_CHARACTERS` or a number of tokens
    is refused with `Kind.LENGTH`, unless both are the same.
    """
    # The lists take half a second and 75 MB, and the API, which names the kinds, compares nothing.
    from eventstream.cache.guard.comparing import compare as compared

    return compared(a, b)


def preload() -> None:
    """Read the lists of both languages: then no comparison waits for them."""
    compare("Hello, where is my order?", "Hi, where are both of my orders?")
    compare("Hola, ¿dónde está mi pedido?", "Hola, ¿dónde están mis dos pedidos?")
