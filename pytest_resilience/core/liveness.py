"""What to do about processes that take too long, step by step: say so, ask for their stacks, end them."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

# Between asking a process where it is and ending it. Being asked may wake it up: what goes on by then is not ended.
GRACE_SECONDS = 0.5
# After this an end that did not come about is tried again.
AGAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What a process does, `since` when, and how long it may take: `limit` seconds, 0 for no limit.

    It is told to be slow every `slow` seconds, 0 for once, at half of the limit. What it does is the same as long as
    `what` and `since` are. `is_gone` says that the process is dead and that this is not known yet to those who wait.
    """

    what: Hashable
    since: float
    limit: float = 0.0
    slow: float = 0.0
    is_gone: bool = False

    @property
    def period(self) -> float:
        """How often it is told to be slow."""
        return self.slow or self.limit / 2


@dataclass(frozen=True, slots=True)
class Action:
    """What to do about a process that has been at it for so many seconds."""

    kind: Literal["say", "ask", "end"]
    who: Hashable
    seconds: float


@dataclass(slots=True)
class _Rung:
    """How far things have gone with a process: how often it was told to be slow, when it was asked, and ended last.

    `slept` seconds of what it does do not count, because then nobody ran.
    """

    watched: Watched
    grace: float
    slept: float = 0.0
    said: int = 0
    asked: float | None = None
    ended: float | None = None

    @property
    def begun(self) -> float:
        """When what it does would have begun, had nobody slept."""
        return self.watched.since + self.slept


@dataclass(slots=True)
class Ladder:
    """Where each process stands. One that does something else begins anew.

    `grace` is the time in seconds between asking a process and ending it.
    """

    grace: float = GRACE_SECONDS
    _rungs: dict[Hashable, _Rung] = field(default_factory=dict)

    def look(self, seen: Mapping[Any, Watched], now: float, slept: float = 0.0) -> list[Action]:
        """What is to be done now, given what every process does.

        `slept` seconds up to now the one who looks did not run, and so maybe none of them did: a suspended machine, or
        Ctrl-Z. That time is given to those who were at it already.
        """
        for who in self._rungs.keys() - seen.keys():
            del self._rungs[who]
        actions = []
        for who, watched in seen.items():
            rung = self._rungs.get(who)
            if rung is None or (rung.watched.what, rung.watched.since) != (watched.what, watched.since):
                rung = self._rungs[who] = _Rung(watched, self.grace)
            rung.watched = watched
            rung.slept += max(0.0, min(slept, now - watched.since))
            kind = _next(rung, now)
            if kind is not None:
                actions.append(Action(kind, who, now - rung.begun))
        return actions

    def seconds_left(self, now: float, most: float) -> float:
        """For how long nothing is going to be due, if all go on with what they do; at most so many seconds."""
        return max(0.0, min([most, *(_due(rung) - now for rung in self._rungs.values())]))


def _next(rung: _Rung, now: float) -> Literal["say", "ask", "end"] | None:
    watched = rung.watched
    if now < _due(rung):
        return None
    if watched.is_gone or rung.ended is not None or rung.asked is not None:
        rung.ended = now
        return "end"
    if watched.limit and now >= rung.begun + watched.limit:
        rung.asked = now
        return "ask"
    # However late this is: what was missed is not made up for.
    rung.said = max(rung.said + 1, int((now - rung.begun) / watched.period))
    return "say"


def _due(rung: _Rung) -> float:
    """When the next step is to be taken."""
    watched = rung.watched
    if rung.ended is not None:
        return rung.ended + AGAIN_SECONDS
    if watched.is_gone:
        return watched.since
    if rung.asked is not None:
        return rung.asked + rung.grace
    due = rung.begun + watched.limit if watched.limit else _NEVER
    if watched.period and (watched.slow or not rung.said):
        due = min(due, rung.begun + watched.period * (rung.said + 1))
    return due


_NEVER = float("inf")
