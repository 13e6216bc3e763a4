"""Whether a condition that the user wrote holds for a failure: a truth value, a text to evaluate, or a callable."""

import inspect
import os
import platform
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from pytest_resilience.core.retry import Condition
from pytest_resilience.core.vocabularies import RerunFilter


def condition_for(item: pytest.Item, condition: object) -> Condition:
    """The question that a condition of an item asks about the error of a failed attempt.

    A text is evaluated as ``skipif`` does, with the exception as ``error``; a callable is given the exception, or
    nothing when it takes nothing. A condition that cannot be evaluated does not hold: a warning says why.
    """
    if isinstance(condition, RerunFilter):
        return lambda error: _holds(
            item, " as a filter", lambda: condition.admits(error, item.name, item, None)
        )
    if callable(condition):
        ask = _ask_with_error(condition)
        return lambda error: _holds(item, " as a callable", lambda: ask(error))
    if isinstance(condition, str):
        return lambda error: _holds(item, f"\n    {condition}", lambda: _evaluate(item, condition, error))
    return lambda error: _holds(item, " as a boolean", lambda: condition)


def _ask_with_error(condition: Callable[..., object]) -> Callable[[BaseException | None], object]:
    try:
        signature = inspect.signature(condition)
    except (TypeError, ValueError):
        return condition
    try:
        signature.bind(None)
    except TypeError:
        return lambda error: condition()
    return condition


def _evaluate(item: pytest.Item, condition: str, error: BaseException | None) -> object:
    names: dict[str, Any] = {"os": os, "sys": sys, "platform": platform, "config": item.config}
    for namespace in reversed(item.ihook.pytest_markeval_namespace(config=item.config)):
        names.update(namespace)
    names.update(getattr(getattr(item, "obj", None), "__globals__", {}))
    names["error"] = error
    return eval(compile(condition, "<flaky condition>", "eval"), names)


def _holds(item: pytest.Item, what: str, ask: Callable[[], object]) -> bool:
    try:
        return bool(ask())
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException as problem:
        why = "".join(traceback.format_exception_only(problem)).rstrip("\n")
        _warn(item, UserWarning(f"Error evaluating 'flaky' condition{what}\n{why}"))
    return False


def _warn(item: pytest.Item, warning: UserWarning) -> None:
    def warn() -> None:
        line = item.location[1] or 0
        warnings.warn_explicit(warning, UserWarning, str(item.path), line + 1)

    try:
        warn()
    except UserWarning:
        # Warnings are errors here. The test failed before its condition did: this one must be seen, and not fail it.
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warn()
