"""The consumer: Kafka records into the inbox, with nothing lost and nothing skipped.

The way of a record:

```
polling thread (one a stream, the only one that calls its librdkafka consumer)
    poll -> Handover: what gathers while a batch is under way, bounded
event loop
    take -> parse -> Inbox.accept -> wake-ups -> dead letters acknowledged -> acknowledge
polling thread
    store offsets -> librdkafka commits them every second
```

Batches are natural: while one is accepted the next records gather, and at low load none waits. One
batch of a stream is under way at a time, in order, so an offset is stored only when everything
before it is in the inbox or in the dead-letter topic. While the loop does not take (Redis away,
dead letters refused, inbox full), the polling thread finds no room, pauses its partitions and goes
on polling: the consumer stays in its group and begins again where it was.

modules: `handover` (between thread and loop), `poller` (the thread), `jumps` (what it did not get
to read), `parsing` (pure), `intake` (the loop's side), `backlog`, `lag`, `stream` (one stream's
life), `service` (all streams), and `again` and `dead_letters` for the command line.
"""
