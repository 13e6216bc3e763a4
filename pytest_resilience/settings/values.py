"""What values a setting takes, and what is said of those that it does not take."""

import re
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import cast


class SettingsError(ValueError):
    """A setting is not valid. The message names the key, the value, what is allowed, and the nearest known name."""


class Wrong(ValueError):
    """What was expected instead, as the end of a sentence."""


def invalid(text: str) -> SettingsError:
    """The error for what `text` says, with its code in front."""
    # Every pytest that has us installed imports this module: codes are dear, and needed only for an error.
    from pytest_resilience.core.codes import Code

    return SettingsError(f"{Code.CONFIG_INVALID}: {text}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, empty when none is."""
    import difflib

    return next(iter(difflib.get_close_matches(name, known, 1)), "")


def shown(value: object) -> str:
    """A value as a message shows it: short, whatever it is. A class or a function is shown by its name."""
    try:
        text = _text_of(value)
    except Exception:
        # Python refuses to write out whole numbers of thousands of digits, and objects of users have bugs.
        return f"<{type(value).__name__}>"
    return text if len(text) < 80 else text[:77] + "..."


def _text_of(value: object) -> str:
    if type(value) in (list, tuple):
        several = ", ".join(map(_text_of, cast("list[object]", value)))
        return f"[{several}]" if isinstance(value, list) else f"({several})"
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else repr(value)


Parse = Callable[[object], object]


def whole(minimum: int) -> Callable[[object], int]:
    """A whole number that is not less than `minimum`, also as a text of digits."""

    def parse(value: object) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,18}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value < 10**18:
            raise Wrong(f"expected a whole number, {minimum} or more")
        return value

    return parse


def seconds(value: object) -> float:
    """A number of seconds, also as a text."""
    return _number(value, "expected a number of seconds, 0 or more")


def number(value: object) -> float:
    """A number that is not negative, also as a text."""
    return _number(value, "expected a number, 0 or more")


def _number(value: object, expected: str) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise Wrong(expected)
    return float(value)


def share(value: object) -> int | str:
    """A number of tests, a share of them as a text, or no limit: 40, "5%", "none"."""
    if value == "none":
        return "none"
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?%", value) and float(value[:-1]) <= 100:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**18:
        raise Wrong('expected a whole number, 0 or more, a share from "0%" to "100%", or "none"')
    return value


def switch(value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise Wrong("expected true or false")
    return value


def choice(*names: str) -> Parse:
    """One of these words."""

    def parse(value: object) -> str:
        if not isinstance(value, str) or value not in names:
            raise Wrong(f"expected one of {', '.join(names)}{_hint(value, names)}")
        return value

    return parse


def some_of(*names: str) -> Parse:
    """One or several of these words."""

    def parse(value: object) -> tuple[str, ...]:
        values = _texts(value, f"expected one or several of {', '.join(names)}")
        for one in values:
            if one not in names:
                raise Wrong(f"expected one or several of {', '.join(names)}{_hint(one, names)}")
        if not values:
            raise Wrong(f"expected at least one of {', '.join(names)}")
        return values

    return parse


def _hint(value: object, names: tuple[str, ...]) -> str:
    near = nearest(value, names) if isinstance(value, str) else ""
    return f"; did you mean {near!r}?" if near else ""


def text(value: object) -> str:
    """A text with something in it."""
    if not isinstance(value, str) or not value:
        raise Wrong("expected a text that is not empty")
    return value


def label(value: object) -> str:
    """A text of one line that a person can read, and that says something."""
    if not isinstance(value, str) or not value.strip() or len(value) > 200 or not value.isprintable():
        raise Wrong("expected 1 to 200 printable characters")
    return value


def texts(value: object) -> tuple[str, ...]:
    """A text, or a list of them."""
    return _texts(value, "expected a text or a list of them")


def _texts(value: object, expected: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) and one for one in values):
        raise Wrong(expected)
    return tuple(values)


def globs(value: object) -> tuple[str, ...]:
    """Paths below the rootdir with wildcards: a text, or a list of them; empty for any path."""
    several = texts(value)
    for one in several:
        if one.startswith("/"):
            raise Wrong(f"{shown(one)} begins with a slash; expected paths relative to the rootdir")
        if ".." in one.split("/"):
            raise Wrong(f"{shown(one)} leads out of the rootdir; expected paths below it")
    return several


def markers(value: object) -> str:
    """An expression as for ``-m``, empty for any markers. Only pytest itself knows whether it is one."""
    if not isinstance(value, str):
        raise Wrong("expected an expression as for -m")
    return value.strip()


def expression(value: object) -> str:
    """A Python expression, empty for none."""
    if not isinstance(value, str):
        raise Wrong("expected an expression as a text")
    if value:
        _compile("expression", value, lambda: compile(value, "<condition>", "eval"))
    return value


def patterns(value: object) -> tuple[str, ...]:
    """A regular expression, or a list of them."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        raise Wrong("expected a regular expression or a list of them")
    for one in values:
        _compile("regular expression", one, partial(re.compile, one))
    return tuple(values)


def _compile(kind: str, text: str, attempt: Callable[[], object]) -> None:
    """Raise Wrong for a text that cannot be compiled."""
    try:
        # What is warned of is refused: where warnings are errors, it would end in the middle of the run.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            attempt()
    except (re.error, SyntaxError, ValueError, OverflowError, RecursionError, MemoryError, Warning) as error:
        raise Wrong(f"{shown(text)} is no {kind} ({error})") from None
