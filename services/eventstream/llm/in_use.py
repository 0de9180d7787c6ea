"""Which models a stream's answers may come from, and which shared buckets limit them.

What a worker's heartbeat says, for those who watch the buckets (`limit_buckets`). Pure; the key
itself is in none of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from eventstream.errors import ConfigurationError
from eventstream.heartbeat import ModelInUse
from eventstream.llm.limits import limit_of
from eventstream.llm.providers import resolve_endpoint
from eventstream.settings import Settings
from eventstream.spec import StreamSpec


def models_in_use(
    spec: StreamSpec, settings: Settings, environment: Mapping[str, str]
) -> list[ModelInUse]:
    """The models that a stream's answers may come from, its own first.

    None for the local model, which nobody limits, and for a stream whose settings are incomplete:
    no call is made then. Embeddings are left out: where they are held back the look-up is a miss,
    and no event waits.
    """
    try:
        endpoint = resolve_endpoint(spec, settings, environment, "")
    except ConfigurationError:
        return []
    if endpoint.local:
        return []
    limit = limit_of(spec, settings)
    return [
        ModelInUse(
            name=endpoint.who(model),
            bucket=endpoint.bucket(model),
            requests=limit.requests,
            requests_period_seconds=limit.requests_period_seconds,
            tokens=limit.tokens,
        )
        for model in dict.fromkeys((endpoint.model, *spec.model.allow))
    ]
