"""Where a value comes from when several places may set it: the nearest place that does."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Layer(NamedTuple):
    """A place that sets values by name. `source` is how a user would recognise it: ``--retries 2``."""

    source: str
    values: Mapping[str, object]


class Sourced(NamedTuple):
    """A value and where it comes from."""

    value: object
    source: str


def resolved(layers: Iterable[Layer]) -> dict[str, Sourced]:
    """Every name that some layer sets, with the value of the first that does. `layers` come nearest first."""
    found: dict[str, Sourced] = {}
    for layer in layers:
        for name, value in layer.values.items():
            if name not in found:
                found[name] = Sourced(value, layer.source)
    return found


class Places(NamedTuple):
    """The places that may set the retry policy of a test, by the names of its fields, nearest first.

    `above` and `overrides` hold for the tests that they fit; of several the first that sets a name counts. `below` are
    the table and the defaults; together they set every name. Rules for some errors come between `overrides` and
    `below`.
    """

    above: tuple[Layer, ...] = ()
    marker: Layer | None = None
    flags: tuple[Layer, ...] = ()
    overrides: tuple[Layer, ...] = ()
    below: tuple[Layer, ...] = ()

    def values(self) -> dict[str, Sourced]:
        """Every name with its value, as it is for an error that no rule speaks of."""
        return self._asked_for(resolved([*self._nearer, *self.below]))

    def changes(self, rule: Layer) -> dict[str, Sourced]:
        """What holds instead for errors that `rule` speaks of: of its values those that no nearer place sets."""
        nearer = resolved(self._nearer)
        own = {name: value for name, value in resolved([rule]).items() if name not in nearer}
        return self._asked_for(own)

    @property
    def _nearer(self) -> list[Layer]:
        """What comes before rules."""
        marker = [self.marker] if self.marker is not None else []
        return [*self.above, *marker, *self.flags, *self.overrides]

    def _asked_for(self, found: dict[str, Sourced]) -> dict[str, Sourced]:
        """A marker that says nothing of `retries` asks for one, or for as many as there would be without it."""
        marker, retries = self.marker, found.get("retries")
        if marker is None or retries is None or retries.value != 0:
            return found
        if any("retries" in layer.values for layer in (*self.above, marker)):
            return found
        return found | {"retries": Sourced(1, marker.source)}
