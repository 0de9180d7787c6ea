"""What the policy `bounded` brings and what it lets through, on streams whose truth is known.

Texts come from templates, so each has a label that is certain; embeddings, cache, guard, pipeline
and Redis are the real ones, and the model is a function that says the truth. It measures hits and
wrong hits, not speed.
"""
