"""The resource definition in the chart is the model's, and says what the API server can check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from eventstream.cli import eventstream
from eventstream.crd import CRD_NAME, custom_resource_definition, spec_schema
from eventstream.crd_text import FIELDS, RULES
from eventstream.spec import StreamSpec

CHART = Path(__file__).parents[2] / "charts" / "ai-eventstream"


def nodes(schema: Mapping[str, Any], path: str = "spec") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every described field of a schema with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")


def test_the_chart_holds_what_the_command_prints() -> None:
    printed = CliRunner().invoke(eventstream, ["crd"])

    held = [file.read_text(encoding="utf-8") for file in (CHART / "crds").glob("*.yaml")]
    assert held == [printed.output], "write it again: eventstream crd > charts/.../crds/..."


def test_the_schema_is_structural() -> None:
    text = yaml.safe_dump(spec_schema())

    for word in (
        "$ref",
        "$defs",
        "anyOf:\n  - type: 'null'",
        "additionalProperties: false",
        "const:",
    ):
        assert word not in text
    for path, node in nodes(spec_schema()):
        assert node.get("x-kubernetes-int-or-string") or "type" in node, path


def test_an_empty_spec_gets_the_defaults_of_the_model() -> None:
    def filled(schema: Mapping[str, Any]) -> dict[str, Any]:
        values = {}
        for name, field in schema["properties"].items():
            if "default" in field:
                is_object = field["type"] == "object"
                values[name] = filled(field) if is_object else field["default"]
        return values

    from_the_api_server = filled(spec_schema())

    assert StreamSpec.model_validate(from_the_api_server) == StreamSpec()
    assert from_the_api_server["scaling"]["workers"]["queueLength"] == 100


def test_every_text_in_a_rule_is_bounded() -> None:
    # The API server refuses a rule whose cost it can't bound.
    for path, node in nodes(spec_schema()):
        if node.get("type") == "string" and path not in ("spec.model.apiKeyFrom.env",):
            assert "maxLength" in node or "enum" in node, path
        if node.get("type") == "array":
            assert "maxItems" in node, path
            assert "maxLength" in node["items"], path


def test_every_rule_and_sentence_belongs_to_a_field() -> None:
    found = dict(nodes(spec_schema()))

    assert set(RULES) <= set(found)
    assert set(FIELDS) <= set(found)
    for path, rules in RULES.items():
        assert [each["message"] for each in found[path]["x-kubernetes-validations"]] == [
            rule.message for rule in rules
        ]


def test_names_and_columns() -> None:
    crd = custom_resource_definition()
    version = crd["spec"]["versions"][0]

    assert crd["metadata"]["name"] == CRD_NAME == "eventstreams.ai-eventstream.io"
    assert crd["spec"]["names"]["shortNames"] == ["es"]
    assert crd["spec"]["names"]["categories"] == ["all"]
    assert version["subresources"] == {"status": {}}
    assert [column["name"] for column in version["additionalPrinterColumns"]] == [
        "Phase",
        "Backlog",
        "Lag",
        "Workers",
        "Hit rate",
        "Reason",
        "Age",
    ]
