#!/usr/bin/env python3
"""Writes what the chart has twice: the values' table and schema from values.yaml, the CRD.

    python charts/ai-eventstream/generate.py          write README.md, values.schema.json and crds/
    python charts/ai-eventstream/generate.py --check  say which of them differ; 1 if one does

A comment `# -- ...` above a key of values.yaml describes it; `# @schema {...}` adds to the JSON
Schema that its default tells, or names one of three larger ones: `settings`, `stream`, `component`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eventstream.crd import as_yaml, spec_schema
from eventstream.settings import Settings

CHART = Path(__file__).parent
BEGIN, END = "<!-- values -->", "<!-- /values -->"

# What the chart sets itself, from other values; a second place for them could only disagree.
SET_BY_THE_CHART = {
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "CELERY_RESULT_BACKEND",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_TOPIC_RAW_DATA",
    "KAFKA_TOPIC_PROCESSED",
    "KAFKA_CONSUMER_GROUP",
    "WORKER_CONCURRENCY",
    "WORKER_SHUTDOWN_SECONDS",
    "WORKER_STREAMS",
    "API_HOST",
    "API_PORT",
    "API_AUTH",
    "FLOWER_HOST",
    "FLOWER_PORT",
    "METRICS_HOST",
    "METRICS_PORT",
}
SECRETS = {
    "OPENAI_API_KEY",
    "GOOGLE_API_KEY",
    "HUGGINGFACE_TOKEN",
    "API_KEYS",
    "API_READ_ONLY_KEYS",
    "KAFKA_SASL_PASSWORD",
    "KAFKA_SSL_KEY_PASSWORD",
}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
OBJECTS = {"type": "array", "items": {"type": "object"}}
ENV = {"type": "array", "items": {"type": "object", "required": ["name"]}}
RESOURCES = {
    "type": "object",
    "additionalProperties": False,
    "properties": {name: {"type": "object"} for name in ("requests", "limits", "claims")},
}
COMPONENT = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "annotations": STRINGS,
        "labels": STRINGS,
        "nodeSelector": STRINGS,
        "tolerations": OBJECTS,
        "affinity": {"type": "object"},
        "topologySpreadConstraints": OBJECTS,
        "priorityClassName": {"type": "string"},
        "extraEnv": ENV,
        "extraVolumes": ENV,
        "extraVolumeMounts": ENV,
    },
}
BY_NAME: dict[str, dict[str, Any]] = {
    "resources": RESOURCES,
    "annotations": STRINGS,
    "labels": STRINGS,
    "nodeSelector": STRINGS,
    "tolerations": OBJECTS,
    "extraEnv": ENV,
    "extraVolumes": ENV,
    "extraVolumeMounts": ENV,
}


@dataclass(frozen=True)
class Comment:
    """What stands above a key."""

    text: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class Value:
    """One documented value."""

    path: str
    default: Any
    comment: Comment


def comments(text: str) -> dict[str, Comment]:
    """Path of a key -> what stands directly above it, for the keys that have a `# --`."""
    found = {}
    stack: list[tuple[int, str]] = []
    words: list[str] = []
    schema: dict[str, Any] = {}
    described = False
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("# @schema "):
            schema |= json.loads(bare.removeprefix("# @schema "))
        elif bare.startswith("# -- "):
            words, described = [bare.removeprefix("# -- ")], True
        elif bare.startswith("#"):
            words.append(bare.removeprefix("#").strip())
        elif key := re.match(r"^( *)([A-Za-z]\w*):", line):
            indent = len(key[1])
            stack = [each for each in stack if each[0] < indent] + [(indent, key[2])]
            if described:
                found[".".join(name for _, name in stack)] = Comment(" ".join(words), schema)
            words, schema, described = [], {}, False
        else:
            words, schema, described = [], {}, False
    return found


def documented(
    values: dict[str, Any], known: dict[str, Comment], prefix: str = ""
) -> Iterator[Value]:
    """Every value with its comment. Raises SystemExit naming one that has none."""
    for name, default in values.items():
        path = f"{prefix}{name}"
        if path in known:
            yield Value(path, default, known[path])
        elif isinstance(default, dict):
            yield from documented(default, known, f"{path}.")
        else:
            raise SystemExit(f"values.yaml: {path} has no comment `# -- ...`")


def table(values: list[Value]) -> str:
    """The README's table."""
    rows = ["| Value | Default | What it is for |", "|---|---|---|"]
    for value in values:
        default = json.dumps(value.default, ensure_ascii=False)
        shown = f"`{default}`" if len(default) <= 60 else "see `values.yaml`"
        if value.default in ("", None):
            shown = ""
        rows.append(f"| `{value.path}` | {shown} | {value.comment.text} |")
    return "\n".join(rows)


def settings_schema() -> dict[str, Any]:
    """The settings that may stand in a ConfigMap."""
    names = {name.upper() for name in Settings.model_fields} - SET_BY_THE_CHART - SECRETS
    scalar = {"type": ["string", "number", "boolean"]}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": dict.fromkeys(sorted(names), scalar),
    }


def stream_schema() -> dict[str, Any]:
    """The spec's schema as a plain JSON Schema that refuses unknown fields."""

    def plain(node: dict[str, Any]) -> dict[str, Any]:
        kept = {name: item for name, item in node.items() if not name.startswith("x-kubernetes")}
        kept.pop("default", None)
        if kept.pop("exclusiveMinimum", False):
            kept["exclusiveMinimum"] = kept.pop("minimum")
        if node.get("x-kubernetes-int-or-string"):
            kept.pop("pattern")
        if "properties" in node:
            kept["properties"] = {name: plain(each) for name, each in node["properties"].items()}
            kept["additionalProperties"] = False
        if isinstance(node.get("additionalProperties"), dict):
            kept["additionalProperties"] = plain(node["additionalProperties"])
        if "items" in node:
            kept["items"] = plain(node["items"])
        return kept

    return plain(spec_schema())


def value_schema(value: Value) -> dict[str, Any]:
    """What one value may be."""
    extra = value.comment.schema
    if "settings" in extra:
        return settings_schema()
    if "stream" in extra:
        return stream_schema()
    if "component" in extra:
        return COMPONENT
    name = value.path.rpartition(".")[2]
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    inferred = {} if value.default is None else {"type": kinds[type(value.default)]}
    base: dict[str, Any] = BY_NAME.get(name) or inferred
    return {**base, **extra}


def schema(values: list[Value]) -> str:
    """values.schema.json: every key that is not in values.yaml is refused."""
    # `global` and the name of a sub-chart's switch come from a parent chart.
    root: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    for value in values:
        node = root
        *groups, name = value.path.split(".")
        for group in groups:
            empty = {"type": "object", "additionalProperties": False, "properties": {}}
            node = node["properties"].setdefault(group, empty)
        node["properties"][name] = {"description": value.comment.text, **value_schema(value)}
    root["properties"]["global"] = {"type": "object", "description": "A parent chart's values."}
    document = {"$schema": "http://json-schema.org/draft-07/schema#", **root}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def generated() -> dict[Path, str]:
    """File -> what has to stand in it."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    values = list(documented(yaml.safe_load(text), comments(text)))
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    head, tail = readme.partition(BEGIN)[0], readme.partition(END)[2]
    return {
        CHART / "README.md": f"{head}{BEGIN}\n{table(values)}\n{END}{tail}",
        CHART / "values.schema.json": schema(values),
        CHART / "crds" / "eventstreams.yaml": as_yaml(),
    }


def main() -> int:
    """0: everything is as it has to be (now)."""
    differing = []
    for path, text in generated().items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        differing.append(path.name)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    if differing and "--check" in sys.argv:
        print(f"not up to date: {', '.join(differing)}. Run {CHART.name}/generate.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
