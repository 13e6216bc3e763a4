"""What a worker and its controller tell each other: the names of our messages, and values that a channel takes."""

import json
from typing import Any

from pytest_resilience.hooks.internals import saferepr

# Our messages between a worker and its controller, and those of a worker that cannot wait for the controller's loop.
EVENT = "resilience"
URGENT = "resilience-urgent"

_DEEPEST = 50


def plain(value: Any, depth: int = 0) -> Any:
    """A value as the channel takes it: of the built-in types themselves, in UTF-8, not too deep."""
    if value is None or type(value) in (bool, float, bytes):
        return value
    if isinstance(value, str):
        return str.__str__(value).encode("utf-8", "backslashreplace").decode("utf-8")
    if type(value) is int and abs(value) < 2**31:
        return value
    if isinstance(value, dict) and depth < _DEEPEST:
        return {plain(key, _DEEPEST): plain(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple) and depth < _DEEPEST:
        several = [plain(one, depth + 1) for one in value]
        return tuple(several) if isinstance(value, tuple) else several
    return saferepr(value).encode("utf-8", "backslashreplace").decode("utf-8")


def as_text(value: Any) -> str:
    """What pytest made serialisable as JSON, whatever other plugins put into it."""
    try:
        return json.dumps(value, skipkeys=True, default=saferepr)
    except (ValueError, RecursionError):
        return json.dumps(plain(value), skipkeys=True, default=saferepr)
