"""Stream files: what a stream is, and one sentence for what it can't be."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from eventstream.errors import ConfigurationError
from eventstream.keys import Keys, queue_for, queues_of, stream_of
from eventstream.spec import HANDED_IN, Cache, StreamSpec, default_stream
from eventstream.stream_files import read_stream_file

HEAD = "apiVersion: ai-eventstream.io/v1alpha1\nkind: EventStream\nmetadata: {name: reviews}\n"


def test_the_default_stream_has_the_documented_names() -> None:
    spec = default_stream()

    assert spec.source is not None
    assert spec.sink is not None
    assert (spec.source.topic, spec.sink.topic, spec.dead_letter_topic) == (
        "datos_crudos",
        "datos_procesados",
        "datos_crudos.dlq",
    )
    assert spec.consumer_group("default") == "ai_eventstream_consumers"
    assert queues_of("default") == ("ai_processing", "kafka_events", "default")
    assert queue_for("reviews", "http") == queue_for("reviews", "kafka") == "reviews"


def test_one_file_may_hold_several_streams() -> None:
    other = HEAD.replace("reviews", "tickets")
    streams = read_stream_file(f"{HEAD}spec: {{source: {{topic: a}}}}\n---\n{other}", "f.yaml")

    assert list(streams) == ["reviews", "tickets"]
    assert streams["reviews"].consumer_group("reviews") == "reviews"
    assert streams["tickets"] == StreamSpec()


def test_lists_anchors_and_overridden_merges_are_what_they_were() -> None:
    text = f"""{HEAD}spec:
  task: {{type: classification, labels: &all [a, b]}}
  model: {{allow: *all, temperature: 1}}
  scaling:
    workers: &few {{min: 1, max: 2}}
    api: {{<<: *few, max: 3}}
"""
    spec = read_stream_file(text, "f.yaml")["reviews"]

    assert (spec.task.labels, spec.model.allow, spec.model.temperature) == (("a", "b"),) * 2 + (1,)
    assert spec.scaling.api is not None
    assert (spec.scaling.api.min, spec.scaling.api.max) == (1, 3)


def test_what_is_written_out_can_be_read_in_again() -> None:
    spec = default_stream()

    assert StreamSpec.model_validate(spec.model_dump(by_alias=True, exclude_none=True)) == spec


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no EventStream"),
        ("a: [", "is not YAML at line"),
        ("kind: Pod\n", "apiVersion: Field required"),
        (HEAD.replace("reviews", "Reviews_1"), "metadata.name: must be lower-case"),
        (HEAD.replace("reviews", "unacked"), "metadata.name: 'unacked' is the name of a Redis key"),
        (f"{HEAD}---\n{HEAD}", "stream 'reviews' stands twice"),
        (f"{HEAD}spec: {{tsk: {{}}}}", "spec.tsk: Extra inputs"),
        (f"{HEAD}spec: {{task: {{type: triage}}}}", "needs a prompt"),
        (f"{HEAD}spec: {{task: {{labels: [a, A]}}}}", "every label must be named once"),
        (f"{HEAD}spec: {{task: {{outputSchema: {{type: nothing}}}}}}", "is not a JSON Schema"),
        (f"{HEAD}spec: {{model: {{provider: compatible}}}}", "needs `baseUrl` and `name`"),
        (f"{HEAD}spec: {{model: {{temperature: .nan}}}}", "spec.model.temperature"),
        (f"{HEAD}spec: {{model: {{apiKeyFrom: {{secret: s}}}}}}", "`secret` and `key`, or `env`"),
        (f"{HEAD}spec: {{scaling: {{workers: {{min: 5, max: 2}}}}}}", "min (5) must not be above"),
        (
            f"{HEAD}spec: {{source: {{topic: a}}, sink: {{topic: a}}}}",
            "source, sink and deadLetter must be different",
        ),
        (
            f"{HEAD}spec: {{source: {{topic: a}}, deadLetter: {{topic: a}}}}",
            "source, sink and deadLetter must be different",
        ),
        (
            f"{HEAD}spec: {{task: {{outputSchema: {{pattern: '('}}}}}}",
            "spec.task.outputSchema: has the pattern '(', which is no regular expression (missing",
        ),
        (f"{HEAD}spec: {{limits: {{budget: {{usd: 0}}}}}}", "spec.limits.budget.usd"),
        (f"{HEAD}spec:\n  limits: {{}}\n  limits: {{}}", "line 6: 'limits' stands twice in one"),
        (f"{HEAD}spec: {{task: {{prompt: 2024-13-45}}}}", "line 4: '2024-13-45' is no timestamp"),
        (f"{HEAD}spec: {{model: {{maxTokens: !!int abc}}}}", "line 4: 'abc' is no int"),
        (f"{HEAD}spec: {{model: {{maxTokens: !!int ''}}}}", "line 4: '' is no int"),
        (f"{HEAD}spec: {{task: {{prompt: !!timestamp x}}}}", "line 4: 'x' is no timestamp"),
        (f"{HEAD}spec: {{cache: {{enabled: !!bool x}}}}", "line 4: 'x' is no bool"),
        ("[" * 3000, "is nested too deeply"),
        (f"{HEAD}spec: &a {{task: *a}}", "line 4: a part holds itself"),
        (f"{HEAD}spec: {{task: {{outputSchema: &a {{not: *a}}}}}}", "line 4: a part holds itself"),
        (f"{HEAD}spec: &a [*a]", "line 4: a part holds itself"),
        (f"{HEAD}spec: {{model: {{maxTokens: '20'}}}}", "spec.model.maxTokens: Input should be"),
        (f"{HEAD}spec: {{scaling: {{workers: {{min: true}}}}}}", "spec.scaling.workers.min: Input"),
        (f"{HEAD}spec: {{scaling: {{workers: {{max: 3.0}}}}}}", "spec.scaling.workers.max: Input"),
        (f"{HEAD}spec: {{cache: {{enabled: 'yes'}}}}", "spec.cache.enabled: Input should be"),
        (f"{HEAD}spec: {{model: {{max_tokens: 20}}}}", "spec.model.max_tokens: Extra inputs"),
        (f"{HEAD}spec: {{on_delete: {{}}}}", "spec.on_delete: Extra inputs"),
        (HEAD.replace("reviews", '"nl\\n"'), "metadata.name: must be lower-case"),
        (
            f"{HEAD}spec: {{model: {{baseUrl: 'http://[::1'}}}}",
            "spec.model.baseUrl: 'http://[::1' is not an address",
        ),
        (f"{HEAD}spec: {{source: {{topic: .}}}}", "spec.source.topic: Kafka has no topic '.'"),
        (f"{HEAD}spec: {{sink: {{topic: ..}}}}", "spec.sink.topic: Kafka has no topic '..'"),
        (
            f"{HEAD}spec: {{source: {{topic: {'a' * 246}}}}}",
            "source.topic and '.dlq' are 250 characters, more than Kafka's 249",
        ),
    ],
)
def test_a_wrong_file_is_one_sentence_that_names_file_and_field(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_stream_file(text, "f.yaml")

    assert str(raised.value).startswith("f.yaml: ")
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/stars"},
        {"$ref": "#stars"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$dynamicRef": "#stars"},
        {"properties": {"stars": {"items": {"$ref": "#/$defs/stars"}}}},
        {"allOf": [{"$ref": "#/elsewhere"}], "elsewhere": {"$ref": "#/$defs/stars"}},
        {"$ref": "#/required", "required": ["stars"]},
        {"$ref": "#/required/stars", "required": ["stars"]},
        {"$ref": "http://[/"},
        {"$ref": "#/types/a", "types": {"a": {"type": "array", "items": [{"type": "number"}]}}},
        {"$ref": "#/types/a", "types": {"a": None}},
        {"$ref": "#/types/a", "types": {"a": {"properties": 5}}},
        {"$ref": "#/types/a", "types": {"a": {"$defs": []}}},
        {"$ref": "#/types/a", "types": {"a": {"$ref": 5}}},
    ],
)
def test_an_output_schema_that_refers_to_what_is_not_there_is_refused(
    schema: dict[str, object],
) -> None:
    with pytest.raises(ValidationError, match=r"outputSchema[^$]*refers to '.*put every def"):
        StreamSpec.model_validate({"task": {"outputSchema": schema}}, context=HANDED_IN)
    # One that is stored stays: no upgrade takes a stream away.
    StreamSpec.model_validate({"task": {"outputSchema": schema}})


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"id": {"items": {"pattern": "[a-"}}}},
        {"patternProperties": {"*": {}}},
        {"pattern": "a{9999999999}"},
        {"pattern": r"\p{L}"},
        {"$ref": "#/types/a", "types": {"a": {"pattern": "("}}},
    ],
)
def test_an_output_schema_with_a_pattern_that_is_none_is_refused(
    schema: dict[str, object],
) -> None:
    with pytest.raises(ValidationError, match=r"outputSchema[^$]*has the pattern '.*write it as"):
        StreamSpec.model_validate({"task": {"outputSchema": schema}}, context=HANDED_IN)
    StreamSpec.model_validate({"task": {"outputSchema": schema}})


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/stars", "$defs": {"stars": {"type": "integer"}}},
        {"pattern": "^[a-z]+$", "patternProperties": {"^x-": {"pattern": ""}}},
        {"const": {"pattern": "("}, "properties": {"pattern": {"type": "string"}}},
        {"$ref": "#stars", "$defs": {"a": {"$anchor": "stars"}}},
        {"$ref": "#/$defs/any", "$defs": {"any": True}},
        {"properties": {"replies": {"items": {"$ref": "#"}}}},
        {"$id": "https://example.com/a", "$ref": "b", "$defs": {"b": {"$id": "b"}}},
        {"$id": "https://example.com/a", "$ref": "https://example.com/a#/$defs/b",
         "$defs": {"b": {}}},
        {"properties": {"$ref": {"type": "string"}}},
        {"const": {"$ref": "#/nowhere"}},
        {"properties": {"schema": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}},
        {"$defs": {"unused": {"$ref": "http://127.0.0.1:9/schema.json"}}},
    ],
)  # fmt: skip
def test_an_output_schema_may_refer_to_its_own_parts(schema: dict[str, object]) -> None:
    spec = StreamSpec.model_validate({"task": {"outputSchema": schema}}, context=HANDED_IN)
    assert spec.task.output_schema == schema


def test_an_output_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, object] = {}
    for _ in range(1000):
        schema = {"items": schema}
    with pytest.raises(ValidationError, match="nested too deeply: move"):
        StreamSpec.model_validate({"task": {"outputSchema": schema}})


def test_a_budget_is_counted_in_microdollars() -> None:
    streams = read_stream_file(f"{HEAD}spec: {{limits: {{budget: {{usd: 0.015}}}}}}", "f.yaml")

    budget = streams["reviews"].limits.budget
    assert budget is not None
    assert (budget.microdollars, budget.on_exhausted) == (15_000, "Hold")


def test_a_queue_tells_its_stream() -> None:
    assert [stream_of(queue) for queue in (*queues_of("default"), "reviews")] == [
        *["default"] * 3,
        "reviews",
    ]


@pytest.mark.parametrize(
    ("cache", "says"),
    [
        ({"policy": "bounded"}, "needs `maxWrongHitPercent`"),
        ({"maxWrongHitPercent": 2}, "means nothing to policy `guarded`"),
        ({"policy": "threshold", "maxWrongHitPercent": 2}, "means nothing to policy `threshold`"),
        ({"policy": "bounded", "maxWrongHitPercent": 0}, "greater than or equal to 0.1"),
        ({"policy": "bounded", "maxWrongHitPercent": 21}, "less than or equal to 20"),
        (
            {"policy": "bounded", "maxWrongHitPercent": 2, "checkPercent": 0.5},
            "checkPercent must be at least 1 with policy `bounded`",
        ),
    ],
)
def test_a_bound_and_its_policy_belong_together(cache: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        StreamSpec.model_validate({"cache": cache})


def test_hits_are_checked_more_often_where_more_depends_on_it() -> None:
    assert Cache().checked_percent == 1
    assert Cache(policy="bounded", max_wrong_hit_percent=2).checked_percent == 5
    assert Cache(check_percent=0).checked_percent == 0


def test_no_stream_can_have_the_name_of_a_key() -> None:
    keys = Keys()
    properties = [name for name, value in vars(Keys).items() if isinstance(value, property)]
    # The channel `finished` is no key.
    names = {getattr(keys, name) for name in properties} - {keys.finished_channel}

    assert properties
    for name in names:
        with pytest.raises(ConfigurationError, match=r"metadata\.name"):
            read_stream_file(HEAD.replace("reviews", name), "streams.yaml")
