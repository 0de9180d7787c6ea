"""How fast the operator reacts, what a pass takes, and what it asks of the API server.

The operator as a process of its own (the loop, its watches, its metrics) beside a real API server
with simulated nodes and a real Redis: what users have, without the network between them.
"""
