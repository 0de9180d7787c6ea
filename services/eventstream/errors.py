"""The errors that cross module borders, each with a sentence for the person who reads it.

Reasons are stable words: they stand in results, in dead-letter headers, in metrics and in logs,
so a script can match on them. What a library raised is never shown as a reason.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Reason(StrEnum):
    """Why an event failed or was refused. Stable: part of the public contract."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    NOT_UTF8 = "not_utf8"
    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    INVALID_FIELD = "invalid_field"
    MISSING_TEXT = "missing_text"
    UNKNOWN_TASK_TYPE = "unknown_task_type"
    MODEL_NOT_ALLOWED = "model_not_allowed"
    ID_CONFLICT = "id_conflict"
    STREAM_NOT_FOUND = "stream_not_found"
    STREAM_DELETED = "stream_deleted"
    CANCELLED = "cancelled"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    DELIVERED_TOO_OFTEN = "delivered_too_often"
    PROVIDER_REFUSED = "provider_refused"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_AUTH = "provider_auth"
    OUTPUT_INVALID = "output_invalid"
    OUTPUT_TRUNCATED = "output_truncated"
    BUDGET_EXHAUSTED = "budget_exhausted"
    UNREADABLE_ENTRY = "unreadable_entry"
    INTERNAL_ERROR = "internal_error"


class EventStreamError(Exception):
    """Base of the errors that this project raises for a person to read."""


class ConfigurationError(EventStreamError):
    """A setting, file or argument is wrong: `where` names it, the message says the way out."""

    def __init__(self, where: str, problem: str, way_out: str) -> None:
        super().__init__(f"{where}: {problem}. {way_out}")
        self.where = where
        self.problem = problem
        self.way_out = way_out


class EventRefused(EventStreamError):
    """An event can't be accepted as it is.

    `field` is the part of the event to blame ("" when it is the whole), `reason` the stable word,
    the message one sentence for a person.
    """

    def __init__(self, reason: Reason, message: str, field: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.field = field


class StoreUnavailable(EventStreamError):
    """Redis did not take or give what was asked: try again after `retry_after_seconds`."""

    setting: ClassVar[str] = "REDIS_URL, or CELERY_RESULT_BACKEND where it is set,"
    """What names the store that is not there."""

    def __init__(self, message: str, retry_after_seconds: int = 2) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
