"""What can go wrong with the local stack, as sentences that a user can act on."""

from eventstream.errors import EventStreamError


class StackError(EventStreamError):
    """The stack can't start or go on; the message says why and what would help."""
