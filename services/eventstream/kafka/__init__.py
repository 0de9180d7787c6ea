"""Kafka: client configuration, topics, producing, dead letters, reading a range again.

What the consumer, the worker and the command line share. It knows nothing of models, caches or
tasks, and it consumes nothing in a group: that is `eventstream.consumer`.
"""
