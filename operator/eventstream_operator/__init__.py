"""The operator: keeps the number of pods of every EventStream right, and says why.

observe -> decide -> act. Only `observe` and `act` talk to anything; `decide` is plain functions of
plain values.
"""
