"""The exceptions of the harness: their messages say what to do."""


class HarnessError(RuntimeError):
    """The cluster can't be built, started or asked."""


class CommandTimedOut(HarnessError):
    """A command in or about the cluster had not ended in time."""


class CommandFailed(HarnessError):
    """A command in or about the cluster ended with a status other than 0.

    `output` is what it wrote to standard output and error.
    """

    def __init__(self, argv: list[str], status: int, output: str) -> None:
        super().__init__(f"`{' '.join(argv)}` ended with status {status}:\n{output}")
        self.status = status
        self.output = output
