"""Takes from a text what says nothing, and puts what is left into the words of the lists.

The order matters: shorthand is spelt out before phrases are looked for, courtesies go before the
frames of requests that they may stand in, and words of several senses come last.
"""

from eventstream.cache.guard.courtesies import begins_courtesy, without_courtesy_clauses
from eventstream.cache.guard.fillers import without_fillers
from eventstream.cache.guard.items import (
    Item,
    apply_phrases,
    without_courtesies,
    without_signature,
    written_out,
)
from eventstream.cache.guard.lexicon import Lexicon
from eventstream.cache.guard.requests import as_orders, without_addressee
from eventstream.cache.guard.rewritings import rejoined, reworded_inside
from eventstream.cache.guard.senses import with_senses
from eventstream.cache.guard.spanish_clauses import in_one_order, in_spanish_order
from eventstream.cache.guard.terms import Analysis


def shorten(
    items: list[Item], lexicon: Lexicon, analysis: Analysis
) -> tuple[list[Item], dict[int, bool]]:
    """The items without courtesies and the like, with phrases replaced, and where a question
    (True) or an order (False) begins."""
    english, spanish = lexicon.code == "en", lexicon.code == "es"
    items = written_out(items, lexicon, analysis)
    if spanish:
        items = without_signature(items, lexicon, analysis)
    present = {item.plain for item in items}
    if begins_courtesy(present, lexicon):
        items = without_courtesy_clauses(items, lexicon, analysis)
    if not lexicon.courtesies.keys().isdisjoint(present):
        items = without_courtesies(items, lexicon, analysis)
    items = without_signature(items, lexicon, analysis)
    if english:
        items = without_fillers(without_addressee(items, analysis), analysis)
        items = rejoined(as_orders(items, analysis))
    elif spanish:
        items = in_spanish_order(items, analysis)
    shortened, moods = apply_phrases(items, lexicon, analysis)
    if english:
        shortened = reworded_inside(shortened, lexicon, keep_length=bool(moods))
        shortened = with_senses(shortened)
    elif spanish and not moods:
        shortened = in_one_order(shortened, analysis)
    return shortened, moods
