"""Whether an answer can be checked by a JSON Schema at all.

The meta-schema says what a schema looks like. It knows neither where a reference leads nor what a
regular expression is, and each answer that such a schema can't check is paid for.
"""

from __future__ import annotations

import re
from typing import Any

from jsonschema_specifications import REGISTRY
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012


def unusable_part(schema: dict[str, Any]) -> str | None:
    """What in a schema no answer can be checked by, and the way out; None where all is well.

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
            wrong = _wrong_pattern(here)
            if wrong is not None:
                return wrong
            for keyword in ("$ref", "$dynamicRef"):
                if keyword in here:
                    by = str(here[keyword])
                    found = resolver.lookup(here[keyword])
                    if not isinstance(found.contents, dict | bool):
                        return _dangling(by)
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
            return _dangling(by)
    return None


def _dangling(reference: str) -> str:
    return (
        f"refers to {reference!r}, where it has no schema: put every definition into the schema"
        " itself, under `$defs`"
    )


def _wrong_pattern(schema: dict[str, Any]) -> str | None:
    own = [schema["pattern"]] if "pattern" in schema else []
    for pattern in (*own, *schema.get("patternProperties", ())):
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            return (
                f"has the pattern {pattern!r}, which is no regular expression ({error}): write it"
                " as Python's `re` reads it"
            )
    return None
