"""Which errors a filter speaks of: by type, or by a regular expression over type and message, along the causes."""

import re
from collections.abc import Iterator

Filter = str | type[BaseException]


def matches(filters: tuple[Filter, ...], error: BaseException, *, with_context: bool = True) -> bool:
    """Whether one of the filters speaks of the error, one of its causes, or a member of its group.

    `with_context` counts as a cause what was being handled when the error came up, too.
    """
    return any(_matches(one, cause) for cause in causes(error, with_context=with_context) for one in filters)


def _matches(one: Filter, error: BaseException) -> bool:
    if isinstance(one, str):
        return re.search(one, f"{type(error).__name__}: {text_of(error)}") is not None
    return isinstance(error, one)


def causes(error: BaseException, *, with_context: bool = True) -> Iterator[BaseException]:
    """The error, then what it came from, each once: explicit causes, contexts that were not suppressed, groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting.append(current.__cause__)
        if with_context and not current.__suppress_context__:
            waiting.append(current.__context__)
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)


def text_of(error: BaseException) -> str:
    """The message of an exception; a placeholder for one whose ``__str__`` is broken."""
    try:
        return str(error)
    except Exception as problem:
        return f"<unprintable {type(error).__name__}: {type(problem).__name__}>"
