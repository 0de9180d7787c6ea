"""A real Kubernetes for tests, without Docker and without an image registry.

`Cluster` starts the programs that `binaries` builds, in Linux namespaces of its own, and takes
everything away again. `plugin` makes pytest fixtures of it, `cli` the command `scripts/cluster`.
Nothing but the standard library is imported, so that the command works before anything is
installed (`plugin` alone knows pytest).
"""
