"""Every key, index and alias name of the cache, built in one place.

The cache may be a server, or a cluster, of its own, so these names share nothing with the other
stores but the prefix. Each key stands alone: no command of the cache takes two of them, which is
what a cluster asks for.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote


def text_digest(text: str) -> str:
    """A 128-bit digest of `text` in hexadecimal; any string has one, lone surrogates included."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@lru_cache(maxsize=1024)
def _name(part: str) -> str:
    # Free of ":" and of everything that means something in a SCAN pattern.
    return quote(part, safe="", errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class CacheKeys:
    """Key builder under one prefix (`EVENTSTREAM_PREFIX`)."""

    prefix: str = ""

    @property
    def entries(self) -> str:
        """What the keys of all stored answers begin with."""
        return f"{self.prefix}cache:entry:"

    def entry(self, stream: str, task_type: str, scope: str, text: str) -> str:
        """Hash: one stored answer; `scope` and `text` are digests."""
        return f"{self.entries}{_name(stream)}:{_name(task_type)}:{scope}:{text}"

    def entry_pattern(self, stream: str | None, task_type: str | None) -> str:
        """A SCAN pattern for the answers of a stream, a task type, both or (None, None) all."""
        stream_part = "*" if stream is None else _name(stream)
        task_part = "*" if task_type is None else _name(task_type)
        return f"{_escape_glob(self.entries)}{stream_part}:{task_part}:*"

    def embedding(self, model: str, text: str) -> str:
        """String: the float32 bytes of one vector; both arguments are digests."""
        return f"{self.prefix}cache:embedding:{model}:{text}"

    @property
    def embedding_pattern(self) -> str:
        return f"{_escape_glob(self.prefix)}cache:embedding:*"

    def alias(self, model: str) -> str:
        """The alias under which the current index of an embedding model is searched.

        The braces keep an alias and its indexes in one slot, which a cluster with the older
        search module asks for when an alias moves.
        """
        return f"{self.prefix}cache:index:{{{model}}}"

    def index(self, model: str, algorithm: str, generation: str) -> str:
        """One index; a new one gets a new name."""
        return f"{self.alias(model)}:{algorithm}:{generation}"

    def read_index(self, name: str) -> tuple[str, str] | None:
        """The model digest and algorithm in a name that `index` built; None for another's."""
        start, _, rest = name.partition("cache:index:{")
        parts = rest.split(":")
        if start != self.prefix or len(parts) != 3:
            return None
        return parts[0].removesuffix("}"), parts[1]

    def index_lock(self, model: str) -> str:
        """String with a TTL: who builds an index now."""
        return f"{self.prefix}cache:index_lock:{model}"

    def similarities(self, stream: str, task_type: str, hour: int) -> str:
        """Hash: counts of one stream, task and hour (hours since 1970, UTC)."""
        return f"{self.prefix}cache:similarities:{_name(stream)}:{_name(task_type)}:{hour}"

    def similarities_pattern(self, stream: str) -> str:
        return f"{_escape_glob(self.prefix)}cache:similarities:{_name(stream)}:*"

    def read_similarities(self, key: str) -> tuple[str, int]:
        """The task type and hour in a key that `similarities` built."""
        _, task_type, hour = key.rsplit(":", 2)
        return unquote(task_type), int(hour)

    def evidence(self, stream: str, task_type: str, evidence_id: str) -> str:
        """Hash: labelled pairs of one scope, by kinds of difference and similarity."""
        member = self.evidence_member(task_type, evidence_id)
        return f"{self.prefix}cache:evidence:{_name(stream)}:{member}"

    def evidence_index(self, stream: str) -> str:
        """Set: which `evidence_member`s a stream has."""
        return f"{self.prefix}cache:evidence_index:{_name(stream)}"

    def evidence_member(self, task_type: str, evidence_id: str) -> str:
        """One scope's evidence, among those of its stream."""
        return f"{_name(task_type)}:{evidence_id}"

    def read_evidence_member(self, member: str) -> tuple[str, str]:
        """The task type and evidence id in a name that `evidence_member` built."""
        task_type, _, evidence_id = member.partition(":")
        return unquote(task_type), evidence_id

    def advice(self, stream: str) -> str:
        """String: what another policy would bring this stream (a `PublishedAdvice`)."""
        return f"{self.prefix}cache:advice:{_name(stream)}"

    @property
    def advice_lock(self) -> str:
        """String with a TTL: who writes the streams' advice now."""
        return f"{self.prefix}cache:advice_lock"

    def flight(self, key: str) -> str:
        """String with a TTL: the process that asks the model this question now."""
        return f"{self.prefix}cache:flight:{key}"


def _escape_glob(text: str) -> str:
    return "".join(f"\\{letter}" if letter in r"*?[]^-\\" else letter for letter in text)
