"""References in a JSON Schema that lead nowhere."""

from __future__ import annotations

from typing import Any

from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012


def dangling_reference(schema: dict[str, Any]) -> str | None:
    """A reference that leads to no schema; None where there is none.

    A definition that nothing refers to is left alone. What other documents hold is never fetched,
    but for the meta-schemas, which every validator has.
    """
    root = DRAFT202012.create_resource(schema)
    waiting = [(root, REGISTRY.resolver_with_root(root), "#")]
    seen: set[int] = set()
    while waiting:
        resource, resolver, by = waiting.pop()
        here = resource.contents
        if not isinstance(here, dict) or id(here) in seen:
            continue
        seen.add(id(here))
        try:
            for keyword in ("$ref", "$dynamicRef"):
                if keyword in here:
                    by = str(here[keyword])
                    found = resolver.lookup(here[keyword])
                    if not isinstance(found.contents, dict | bool):
                        return by
                    waiting.append(
                        (DRAFT202012.create_resource(found.contents), found.resolver, by)
                    )
            unused = here.get("$defs", {}).values()
            waiting += [
                (part, resolver.in_subresource(part), by)
                for part in resource.subresources()
                if not any(part.contents is definition for definition in unused)
            ]
        except (Unresolvable, LookupError, ValueError, TypeError, AttributeError, RecursionError):
            # Or what it leads to is no schema, which nothing has checked: it stands in no place
            # that is known to hold one.
            return by
    return None
