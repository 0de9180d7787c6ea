"""Answers never cross scopes: whatever their parts look like, and however alike the texts are."""

from dataclasses import astuple, fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eventstream.cache.contract import CacheEntry, CacheQuery, CacheScope
from eventstream.cache.entries import entry_key
from eventstream.cache.evidence import evidence_id
from eventstream.cache.keys import CacheKeys
from eventstream.cache.store import SemanticCache
from tests.integration.cache.support import OneVector

PARTS = [each.name for each in fields(CacheScope)]
# Short parts of few letters, so that different scopes are made of the same text, differently cut.
scopes = st.builds(CacheScope, *(st.text('ab:|/"\\ é\ud800', max_size=3) for _ in PARTS))


@given(scopes, scopes)
def test_two_scopes_share_nothing_unless_they_are_the_same(
    one: CacheScope, two: CacheScope
) -> None:
    same = astuple(one) == astuple(two)
    queries = [CacheQuery("Where is my parcel?", scope) for scope in (one, two)]

    names = [
        {scope.digest for scope in (one, two)},
        {query.key for query in queries},
        {entry_key(CacheKeys(), query) for query in queries},
        {evidence_id(query, "model") for query in queries},
    ]

    assert [len(each) for each in names] == [1 if same else 2] * 4


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(known=scopes, asked=scopes)
@pytest.mark.parametrize("policy", ["guarded", "threshold"])
async def test_an_answer_is_found_in_its_own_scope_only(
    cache: SemanticCache, policy: str, known: CacheScope, asked: CacheScope
) -> None:
    """The texts differ harmlessly and have the same vector: only the scope stands between them."""
    await cache.clear()
    stored = CacheQuery("My order is late", known)
    [missed] = await cache.look_up([stored], OneVector())
    await cache.store([CacheEntry(stored, repr(known).encode(), 60, missed.embedding)])

    for text in ("My order is late", "Hello, my order is late"):
        query = CacheQuery(text, asked, "guarded" if policy == "guarded" else "threshold")
        [found] = await cache.look_up([query], OneVector())
        if found.response is not None:
            assert found.response == repr(asked).encode()
        elif known == asked:
            pytest.fail("not found in its own scope")
