"""What the world looks like: one module a signal, put together into an Observation."""
