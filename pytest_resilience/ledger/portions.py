"""Facts about many tests, in portions of which each fits into a line."""

from collections.abc import Iterable, Iterator

from pytest_resilience.core.facts import Fact, TestInherited, TestsInherited, TestsSelected
from pytest_resilience.ledger.sizes import MAX_LINE, length_of_quoted_keys

KEYS_IN_LINE = 500
# Of these tests each has its seconds, too: as many characters at most.
ALIKE_IN_LINE, SECONDS_CHARS = 200, 25
_ROOM = MAX_LINE - 1024


def split_tests(fact: TestsSelected) -> Iterator[TestsSelected]:
    """The same tests, in the same order, in portions of which each fits into a line."""
    for first in range(0, len(fact.keys), KEYS_IN_LINE):
        for some in _fitting(fact.keys[first : first + KEYS_IN_LINE]):
            yield TestsSelected(keys=some, fate=fact.fate, digest=fact.digest)


def _fitting(keys: tuple[str, ...], room: int = _ROOM) -> Iterator[tuple[str, ...]]:
    # Most often all fit; else their halves may, and a single key always does.
    if len(keys) == 1 or length_of_quoted_keys(keys) <= room:
        yield keys
        return
    middle = len(keys) // 2
    yield from _fitting(keys[:middle], room)
    yield from _fitting(keys[middle:], room)


def together(facts: Iterable[Fact]) -> list[Fact]:
    """The same facts, tests that are alike in all that was inherited but for their seconds told in one line."""
    others: list[Fact] = []
    alike: dict[tuple[object, ...], list[TestInherited]] = {}
    for fact in facts:
        if type(fact) is TestInherited:
            _, outcome, run, attempts, _, digest, deaths = fact
            alike.setdefault((outcome, run, attempts, digest, deaths), []).append(fact)
        else:
            others.append(fact)
    return [*(one for tests in alike.values() for one in _in_lines(tests)), *others]


def _in_lines(tests: list[TestInherited]) -> Iterator[Fact]:
    for first in range(0, len(tests), ALIKE_IN_LINE):
        rest = tests[first : first + ALIKE_IN_LINE]
        for keys in _fitting(tuple(one.key for one in rest), _ROOM - SECONDS_CHARS * len(rest)):
            some, rest = rest[: len(keys)], rest[len(keys) :]
            yield TestsInherited.of(some) if len(some) > 1 else some[0]
