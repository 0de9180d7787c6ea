"""Which topics a stream needs."""

from __future__ import annotations

from eventstream.kafka.topics import plans_for
from eventstream.spec import Source, StreamSpec, TopicRef


def test_source_and_sink_are_planned_as_the_stream_says_and_dead_letters_in_one_partition() -> None:
    spec = StreamSpec(
        source=Source(topic="reviews.raw", partitions=6, replication_factor=3),
        sink=TopicRef(topic="reviews.scored"),
    )

    plans = {plan.name: (plan.partitions, plan.replication_factor) for plan in plans_for(spec)}

    assert plans == {
        "reviews.raw": (6, 3),
        "reviews.raw.dlq": (1, 3),
        "reviews.scored": (6, 3),
    }


def test_a_stream_over_http_only_plans_at_most_its_sink() -> None:
    assert plans_for(StreamSpec()) == ()
    [sink] = plans_for(StreamSpec(sink=TopicRef(topic="scored")))
    assert (sink.name, sink.partitions) == ("scored", -1)


def test_a_dead_letter_topic_takes_larger_records_than_any_default() -> None:
    [_, dead_letters] = plans_for(StreamSpec(source=Source(topic="reviews.raw")))

    assert int(dead_letters.settings["max.message.bytes"]) > 1_048_588
