"""Which part of a suite a session runs, where the options of a plugin that splits suites say so."""

import pytest

# By plugin: how many parts there are, which of them is meant, and what else decides what is in a part. A name has
# ``-`` in the flag; pytest keeps the value under the name with ``_``, and pytest-test-groups under the name itself.
_PLUGINS = (
    ("splits", "group", "splitting-algorithm", "durations-path"),  # pytest-split
    ("num-shards", "shard-id"),  # pytest-shard
    ("test-group-count", "test-group", "test-group-by", "test-group-random-seed"),  # pytest-test-groups
)


def shard_of(config: pytest.Config) -> str:
    """The part of the suite, in the words of the options; empty for the whole suite."""
    said = []
    for number, which, *_ in _PLUGINS:
        parts = _value(config, number)
        if isinstance(parts, int) and parts > 1:
            said.append(f"--{number}={parts} --{which}={_value(config, which)}")
    return " ".join(said)


def words(config: pytest.Config) -> list[str]:
    """Those of the options that were typed, as they were typed."""
    flags = {f"--{name}" for names in _PLUGINS for name in names}
    arguments = [str(one) for one in config.invocation_params.args]
    said = []
    for at, argument in enumerate(arguments):
        flag, separator, _ = argument.partition("=")
        if flag in flags:
            said += [argument] if separator else arguments[at : at + 2]
    return said


def _value(config: pytest.Config, name: str) -> object:
    option = config.option
    return getattr(option, name.replace("-", "_"), getattr(option, name, None))
