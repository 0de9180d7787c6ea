"""Carrying out what was decided: Deployments, replicas, status, events, registry, Lease."""
