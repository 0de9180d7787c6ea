"""Loads the local model before the fork, where a stream will want it: its pages are shared."""

from __future__ import annotations

from collections.abc import Iterable

from eventstream.errors import ConfigurationError
from eventstream.llm.contract import LocalModelProtocol
from eventstream.llm.local.errors import LocalModelMissing
from eventstream.llm.local.model import LocalModel
from eventstream.llm.providers import choose_provider
from eventstream.logs import get_logger
from eventstream.settings import Settings
from eventstream.spec import StreamSpec

log = get_logger(__name__)


def load_if_needed(settings: Settings, specs: Iterable[StreamSpec]) -> LocalModelProtocol | None:
    """The local model, where a stream's model or embeddings are local; else None.

    A missing model is said in the log and is no reason not to start: streams with a provider work.
    """
    providers = set()
    for spec in specs:
        try:
            providers.add(choose_provider(spec, settings))
        except ConfigurationError:
            continue  # Said, with every other problem of a stream, when streams are checked.
    wanted = "local" in providers or settings.eventstream_embeddings == "local"
    without_embeddings = providers & {"compatible", "huggingface"}
    if not wanted and not without_embeddings:
        return None
    try:
        model = LocalModel.load(settings.local_model_dir)
    except LocalModelMissing as error:
        log.warning("local_model_missing", problem=str(error))
        return None
    log.info("local_model_loaded", name=model.name)
    return model
