"""The redactor of this process: from its environment, the settings, and the hook pytest_resilience_redact."""

import os
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pytest_resilience.core.codes import Code
from pytest_resilience.core.redaction import MARK, Redactor, secret_values

# By then implementations that answer each other are broken.
_MOST_ROUNDS = 10


def redactor_for(
    config: pytest.Config, patterns: Iterable[str], trouble: Callable[[Code, str], None]
) -> Redactor:
    """A redactor that knows the secrets in the environment as it is now, which no other process is told of.

    `trouble` hears, once, of an implementation of the hook that is broken.
    """
    hook = _Hook(config, trouble)
    return Redactor(secret_values(os.environ, os.path.exists), patterns, hook, hook.is_implemented)


class _Hook:
    """Asks all who implement the hook, each of them with what the others left, until nobody has anything to add."""

    def __init__(self, config: pytest.Config, trouble: Callable[[Code, str], None]) -> None:
        self._config = config
        self._trouble: Callable[[Code, str], None] | None = trouble

    def is_implemented(self) -> bool:
        """Whether there is anybody to ask by now."""
        return bool(self._config.hook.pytest_resilience_redact.get_hookimpls())

    def __call__(self, text: str) -> str | None:
        hook = self._config.hook.pytest_resilience_redact
        try:
            for _ in range(_MOST_ROUNDS):
                changed = next((one for one in hook(text=text) if one != text), text)
                if changed == text:
                    return text
                if not isinstance(changed, str):
                    raise TypeError(f"it answers with {type(changed).__name__}; expected a text, or None")
                if MARK not in changed:
                    raise ValueError(f"its answer has no {MARK} in the place of a secret")
                text = changed
            raise ValueError("it changes what was changed already")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._is_broken(error)
            return None

    def _is_broken(self, error: BaseException) -> None:
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            # What the error says may be the very text that is not to be told.
            trouble(
                Code.INTERNAL_ERROR,
                f"an implementation of pytest_resilience_redact is broken ({type(error).__name__} {_place(error)}). "
                f"The ledger has {MARK} for each text that it was asked about in vain",
            )


def _place(error: BaseException) -> str:
    """Where an error came up: ``at conftest.py:12``."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"at {Path(frame.filename).name}:{frame.lineno}"
