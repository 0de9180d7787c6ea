"""The CustomResourceDefinition of EventStream, generated from StreamSpec.

One model says what a stream is; this module writes it down as Kubernetes wants it: a structural
OpenAPI v3 schema without references, optional fields absent instead of null, and CEL rules beside
the fields that they bind, so that the API server refuses what the services would refuse. It talks
to no cluster.

What CEL can't say (whether `outputSchema` is a JSON Schema, case folding beyond ASCII) is left to
StreamSpec itself: the operator reads every resource through it and reports what it refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from eventstream import __version__
from eventstream.crd_text import FIELDS, RULES, STATUS
from eventstream.keys import RESERVED_STREAM_NAMES
from eventstream.spec import API_VERSION, KIND, StreamSpec

GROUP: Final = API_VERSION.partition("/")[0]
VERSION: Final = API_VERSION.partition("/")[2]
PLURAL: Final = "eventstreams"
CRD_NAME: Final = f"{PLURAL}.{GROUP}"
VERSION_ANNOTATION: Final = f"{GROUP}/version"
"""The release that a CRD was generated for: an older chart leaves a newer one alone."""

# A key of `resources.limits` or `resources.requests`: an amount as Kubernetes writes it.
_QUANTITY: Final = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$",
    "x-kubernetes-int-or-string": True,
}
_AMOUNTS: Final = {"type": "object", "maxProperties": 10, "additionalProperties": _QUANTITY}
# Fields that are free in the model and have a shape of their own in Kubernetes.
_FREE_FIELDS: Final[Mapping[str, dict[str, Any]]] = {
    "spec.task.outputSchema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "spec.scaling.workers.resources": {
        "type": "object",
        "properties": {"limits": _AMOUNTS, "requests": _AMOUNTS},
    },
}
_KEPT: Final = (
    "type",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "maxItems",
    "required",
)
_STREAM_NAME_RULE: Final = {
    "rule": "self.metadata.name.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')",
    "message": "metadata.name must be lower-case letters, digits and '-', begin and end with a"
    " letter or digit, at most 63 characters",
}


# What is there already has a status, and can still be written: an upgrade takes no stream away.
_RESERVED_NAMES_RULE: Final = {
    "rule": f"has(self.status) || !(self.metadata.name in {list(RESERVED_STREAM_NAMES)})",
    "message": f"metadata.name must not be one of {', '.join(RESERVED_STREAM_NAMES)}, which are"
    " reserved: these are Redis keys of Celery and EventStream, and a stream's queue has its name",
}


class _WithoutAnchors(yaml.SafeDumper):
    """Writes what is shared in memory twice: people read the file."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def spec_schema() -> dict[str, Any]:
    """The structural schema of `spec`: no references, no nulls, with defaults and CEL rules."""
    document = StreamSpec.model_json_schema(by_alias=True)
    return _structural(document, document["$defs"], "spec")


def custom_resource_definition() -> dict[str, Any]:
    """The whole CRD, ready to be written as YAML."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": CRD_NAME,
            "annotations": {VERSION_ANNOTATION: __version__},
            "labels": {"app.kubernetes.io/part-of": "ai-eventstream"},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["es"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        _column("Phase", "string", ".status.phase"),
                        _column("Backlog", "integer", ".status.backlog"),
                        _column("Lag", "integer", ".status.lag"),
                        _column("Workers", "string", ".status.workers.summary"),
                        _column("Hit rate", "string", ".status.hitRate"),
                        _column("Reason", "string", ".status.reason"),
                        _column("Age", "date", ".metadata.creationTimestamp"),
                    ],
                    "schema": {"openAPIV3Schema": _resource_schema()},
                }
            ],
        },
    }


def as_yaml() -> str:
    """The CRD as the chart holds it."""
    head = "# Generated from StreamSpec by `eventstream crd`. Change the model, not this file.\n"
    return head + yaml.dump(
        custom_resource_definition(),
        Dumper=_WithoutAnchors,
        sort_keys=False,
        width=100,
        allow_unicode=True,
    )


def _resource_schema() -> dict[str, Any]:
    spec = spec_schema()
    return {
        "type": "object",
        "description": "A stream of texts, each one read by a language model.",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": {**spec, "default": _defaults(spec)},
            "status": STATUS,
        },
        "x-kubernetes-validations": [_STREAM_NAME_RULE, _RESERVED_NAMES_RULE],
    }


def _defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What an empty object of this schema is filled with."""
    fields = schema.get("properties", {}).items()
    return {name: field["default"] for name, field in fields if "default" in field}


def _column(name: str, kind: str, path: str) -> dict[str, str]:
    return {"name": name, "type": kind, "jsonPath": path}


def _structural(
    node: Mapping[str, Any], definitions: Mapping[str, Any], path: str
) -> dict[str, Any]:
    """One node of Pydantic's JSON schema as Kubernetes takes it. Raises KeyError on a field that
    nobody has described yet."""
    if "anyOf" in node:
        # Optional[X]: Kubernetes knows absence, not null.
        [inner] = [each for each in node["anyOf"] if each != {"type": "null"}]
        node = {**inner, "default": node.get("default")}
    default = node.get("default")
    if "$ref" in node:
        node = definitions[node["$ref"].rpartition("/")[2]]
    if path in _FREE_FIELDS:
        return {"description": FIELDS[path], **_FREE_FIELDS[path]}
    result: dict[str, Any] = {"description": FIELDS[path]} if not path.endswith("[]") else {}
    result |= {name: node[name] for name in _KEPT if name in node}
    if "const" in node:
        result["enum"] = [node["const"]]
    if "exclusiveMinimum" in node:
        result |= {"minimum": node["exclusiveMinimum"], "exclusiveMinimum": True}
    if "items" in node:
        result["items"] = _structural(node["items"], definitions, f"{path}[]")
    if "properties" in node:
        result["properties"] = {
            name: _structural(field, definitions, f"{path}.{name}")
            for name, field in node["properties"].items()
        }
    if isinstance(default, dict):
        # Written out: the rules are checked against a default before the fields' own fill it in.
        result["default"] = _defaults(result)
    elif default not in (None, "", []):
        result["default"] = default
    if path in RULES:
        result["x-kubernetes-validations"] = [rule.as_dict() for rule in RULES[path]]
    return result
