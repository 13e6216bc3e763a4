"""What pytest's own cache (``--lf``, ``--ff``, ``--sw``) has to learn of tests that a resume did not run."""

from collections.abc import Collection

import pytest

_LAST_FAILED, _STEPWISE = "cache/lastfailed", "cache/stepwise"


def correct(config: pytest.Config, good: Collection[str], bad: Collection[str]) -> None:
    """Have the cache know that tests are good or bad: good by their keys, bad by their node ids; bad is what is both.

    A test that has the id of another one is not looked for: what is said of the first one stands.

    pytest writes it at the end of a session only, so of a run that died it knows nothing.
    """
    cache = getattr(config, "cache", None)
    if cache is None:
        return
    known = cache.get(_LAST_FAILED, {})
    failed = {nodeid: True for nodeid in known if nodeid not in good} | dict.fromkeys(bad, True)
    if failed != known:
        cache.set(_LAST_FAILED, failed)
    stepwise = cache.get(_STEPWISE, None)
    if (
        isinstance(stepwise, dict)
        and stepwise.get("last_failed") in good
        and stepwise["last_failed"] not in bad
    ):
        cache.set(_STEPWISE, {**stepwise, "last_failed": None})
