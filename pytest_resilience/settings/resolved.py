"""Which value of a setting holds: what was typed, what the table says, the default; for a test also its marker."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from pytest_resilience.core.layers import Layer, Places
from pytest_resilience.settings.options import BY_KEY, OF_TEST, OPTIONS, checked
from pytest_resilience.settings.tables import Part, read
from pytest_resilience.settings.values import shown

DEFAULT = "default"


class Settings:
    """The value of every option, by key. `sources` says of those that somebody set where that was.

    `overrides` hold for some tests and `rules` for some errors, in the order in which they are looked at; `above` are
    overrides that come even before markers.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        sources: Mapping[str, str],
        overrides: tuple[Part, ...] = (),
        rules: tuple[Part, ...] = (),
        above: tuple[Part, ...] = (),
    ) -> None:
        self.values = values
        self.sources = sources
        self.overrides = overrides
        self.rules = rules
        self.above = above

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def is_typed(self, key: str) -> bool:
        """Whether the value comes from the command line."""
        return _is_flag(self.sources.get(key, DEFAULT))

    @property
    def retries_off(self) -> bool:
        """``--retries 0`` was typed: it overrules markers."""
        return self["retry.retries"] == 0 and self.sources.get("retry.retries", "").startswith(_RETRIES)

    @property
    def crash_retries(self) -> int:
        """How often a test is tried again whose worker died. With all retries off never, unless that was typed too."""
        key = "retry.crash-retries"
        return 0 if self.retries_off and not self.is_typed(key) else self[key]

    def places(
        self, marker: Layer | None = None, overrides: Iterable[Part] = (), above: Iterable[Part] = ()
    ) -> Places:
        """Where the retry policy of a test comes from that has this marker and that these overrides speak of.

        With all retries off neither is asked.
        """
        if self.retries_off:
            return self._usual
        return self._usual._replace(
            above=tuple(part.layer for part in above),
            marker=marker,
            overrides=tuple(part.layer for part in overrides),
        )

    @cached_property
    def _usual(self) -> Places:
        """Where the policy of a test comes from that nothing speaks of in particular."""
        by_source: dict[str, dict[str, object]] = {DEFAULT: {"min_passes": 1}}
        for option in OF_TEST:
            source = self.sources.get(option.key, DEFAULT)
            by_source.setdefault(source, {})[option.field] = self[option.key]
        layers = [Layer(source, values) for source, values in by_source.items()]
        return Places(
            flags=tuple(layer for layer in layers if _is_flag(layer.source)),
            below=tuple(layer for layer in layers if not _is_flag(layer.source)),
        )

    def plain(self) -> dict[str, Any]:
        """The settings as values that JSON knows."""
        return {
            "values": dict(self.values),
            "sources": dict(self.sources),
            "overrides": [part._asdict() for part in self.overrides],
            "rules": [part._asdict() for part in self.rules],
            "above": [part._asdict() for part in self.above],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Settings":
        """The settings that `plain` made plain."""
        return cls(
            {key: _kept(value) for key, value in plain["values"].items()},
            plain["sources"],
            tuple(_part(one) for one in plain["overrides"]),
            tuple(_part(one) for one in plain["rules"]),
            tuple(_part(one) for one in plain["above"]),
        )


_RETRIES = ("--retries ", "--resilience-retries ")


def _is_flag(source: str) -> bool:
    return source.startswith("-")


def _part(plain: Mapping[str, Any]) -> Part:
    fields: dict[str, Any] = {key: _kept(value) for key, value in plain.items()}
    fields["values"] = {key: _kept(value) for key, value in plain["values"].items()}
    return Part(**fields)


def _kept(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def resolve(
    flags: Mapping[str, object],
    table: Mapping[str, object],
    names: Mapping[str, str] | None = None,
    inis: Mapping[str, tuple[str, object]] | None = None,
    above: tuple[Part, ...] = (),
) -> Settings:
    """The settings from the flags that were typed (by key) and the ``[tool.resilience]`` table; flags come first.

    `names` says for a flag how it was typed, where that is not its usual name. `inis` has, by key, where in pytest's
    own configuration a value stands, and the value; the table comes before it. `above` is as in Settings. Raises SettingsError.
    """
    found = read(table)
    values = {option.key: option.default for option in OPTIONS}
    sources: dict[str, str] = {}
    for key, (source, value) in (inis or {}).items():
        values[key] = checked(key, value, f"{source}, {shown(value)}")
        sources[key] = source
    values |= found.values
    sources |= {key: f"[tool.resilience.{BY_KEY[key].table}]" for key in found.values}
    for key, value in flags.items():
        option = BY_KEY[key]
        flag = (names or {}).get(key, option.flag)
        written = f"{flag} {value}" if option.metavar else flag
        values[key] = checked(key, value, written)
        sources[key] = written
    return Settings(values, sources, found.overrides, found.rules, above)
