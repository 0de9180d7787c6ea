"""A simulator for autoscalers: ours, with its real decision code, beside published formulas.

It answers one question: what do users wait, and what do they pay, while load changes? It knows
nothing of Kubernetes' or Redis' own speed; those are measured where they run.
"""
