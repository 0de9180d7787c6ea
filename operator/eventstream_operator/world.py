"""What the operator knows of the cluster: copies of what is watched, kept without asking.

kopf's watches put objects in and take them out; now and then, and after every interruption, a list
of all of them puts right what a watch has missed (a deletion, above all). Nothing here talks to
anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]


def name_of(body: Object) -> str:
    """An object's name."""
    return str(body["metadata"]["name"])


def uid_of(body: Object) -> str:
    """An object's uid."""
    return str(body["metadata"]["uid"])


def labels_of(body: Object) -> Mapping[str, str]:
    """An object's labels."""
    return body["metadata"].get("labels") or {}


def annotations_of(body: Object) -> Mapping[str, str]:
    """An object's annotations."""
    return body["metadata"].get("annotations") or {}


def version_of(body: Object) -> int:
    """An object's resourceVersion, as a number: they grow with every write."""
    return int(body["metadata"].get("resourceVersion") or 0)


class Copies:
    """Objects of one kind, by name, each the newest that was seen of it."""

    def __init__(self) -> None:
        self._objects: dict[str, Object] = {}
        self._gone: set[str] = set()

    def __iter__(self) -> Iterator[Object]:
        return iter(tuple(self._objects.values()))

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, name: str) -> Object | None:
        """The object of that name, if there is one."""
        return self._objects.get(name)

    def put(self, body: Object) -> bool:
        """Take an object in, unless a newer one is here. Returns whether anything changed."""
        known = self._objects.get(name_of(body))
        if uid_of(body) in self._gone:
            return False
        if known is not None and version_of(known) >= version_of(body):
            return False
        self._objects[name_of(body)] = _slim(body)
        return True

    def drop(self, body: Object) -> bool:
        """Take out this very object (by uid). Returns whether it was here."""
        self._gone.add(uid_of(body))
        known = self._objects.get(name_of(body))
        if known is None or uid_of(known) != uid_of(body):
            return False
        del self._objects[name_of(body)]
        return True

    def replace(self, bodies: Iterable[Object], version: int) -> None:
        """All there were at `version`; what was made after that stays."""
        listed = {uid_of(body): body for body in bodies}
        for known in self:
            if uid_of(known) not in listed and version_of(known) <= version:
                del self._objects[name_of(known)]
        for body in listed.values():
            self.put(body)
        # A uid never comes back; those that no list holds any more need not be remembered.
        self._gone &= set(listed)


def _slim(body: Object) -> Object:
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    return {**body, "metadata": metadata}


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is watched, in one namespace."""

    streams: Copies = field(default_factory=Copies)
    deployments: Copies = field(default_factory=Copies)
    pods: Copies = field(default_factory=Copies)
    autoscalers: Copies = field(default_factory=Copies)
