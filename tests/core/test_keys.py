"""No two tests share a key, and a test is gone only where the collection looked and did not find it."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.keys import file_of, is_gone, keys_of

# Few letters, so that ids collide with each other and with the numbers that keys get.
IDS = st.lists(st.sampled_from(["a", "a #2", "a #3", "a #2 #2", "b", ""]) | st.text(), max_size=12)


@given(IDS)
def test_every_test_gets_a_key_of_its_own(nodeids: list[str]) -> None:
    keys = keys_of(nodeids)
    assert len(keys) == len(nodeids) == len(set(keys))
    assert all(key.startswith(nodeid) for key, nodeid in zip(keys, nodeids, strict=True))


@given(st.lists(st.text(), unique=True))
def test_the_key_of_an_id_that_occurs_once_is_the_id(nodeids: list[str]) -> None:
    assert keys_of(nodeids) == nodeids


@given(IDS, IDS)
def test_what_comes_later_does_not_change_the_keys_before_it(first: list[str], more: list[str]) -> None:
    assert keys_of([*first, *more])[: len(first)] == keys_of(first)


def test_a_second_test_with_an_id_is_numbered() -> None:
    assert keys_of(["::C::t", "::C::t", "x", "::C::t"]) == ["::C::t", "::C::t #2", "x", "::C::t #3"]


def test_the_file_is_what_stands_before_the_first_colons() -> None:
    assert file_of("d/a.py::C::t[x::y]") == "d/a.py"
    assert file_of("::C::t") == ""
    assert file_of("README.md") == "README.md"


# -- gone -------------------------------------------------------------------------------------------------------------

Parts = tuple[str, ...]
NAMES = st.sampled_from(["C", "D", "t", "t[1]", "t[a::b]", "t[[x]"])
PATHS = st.tuples(st.sampled_from(["a.py", "d/b.py"]), st.sampled_from(["C", "D"]), NAMES) | st.tuples(
    st.sampled_from(["a.py", "d/b.py"]), NAMES
)


def nodeid(parts: Parts) -> str:
    return "::".join(parts)


def collection_of(tests: set[Parts], looked: set[Parts]) -> tuple[set[str], set[str]]:
    """What was collected and what that yielded, when files and classes in `looked` were looked into."""
    parents = {test[:depth] for test in tests for depth in range(1, len(test))} | {
        place for place in looked if len(place) == 1
    }
    collected = {
        place for place in looked & parents if all(place[:n] in looked for n in range(1, len(place)))
    }
    present = {
        nodeid(test[: depth + 1])
        for test in tests
        for depth in range(1, len(test))
        if all(test[:n] in collected for n in range(1, depth + 1))
    }
    return {nodeid(place) for place in collected}, present


LOOKED = st.sets(st.sampled_from([("a.py",), ("d/b.py",), ("a.py", "C"), ("a.py", "D"), ("d/b.py", "C")]))


@given(st.sets(PATHS), LOOKED, PATHS)
def test_a_test_is_gone_just_when_its_file_or_class_was_looked_into_and_it_was_not_there(
    tests: set[Parts], looked: set[Parts], one: Parts
) -> None:
    collected, present = collection_of(tests, looked)
    expected = False
    for depth in range(1, len(one)):
        if nodeid(one[:depth]) not in collected:
            break
        if nodeid(one[: depth + 1]) not in present:
            expected = True
            break
    assert is_gone(nodeid(one), collected, present, lambda file: True) is expected


@given(st.sets(PATHS), LOOKED, PATHS)
def test_a_test_that_exists_is_never_gone(tests: set[Parts], looked: set[Parts], one: Parts) -> None:
    collected, present = collection_of(tests | {one}, looked)
    assert not is_gone(nodeid(one), collected, present, lambda file: True)


@given(st.sets(PATHS), LOOKED, PATHS)
def test_a_test_whose_file_was_not_looked_into_is_never_gone(
    tests: set[Parts], looked: set[Parts], one: Parts
) -> None:
    looked = {place for place in looked if place[0] != one[0]}
    collected, present = collection_of(tests, looked)
    assert not is_gone(nodeid(one), collected, present, lambda file: True)


@given(st.text(), st.sets(st.text()))
def test_nothing_is_gone_when_nothing_was_collected(key: str, present: set[str]) -> None:
    assert not is_gone(key, set(), present, lambda file: True)


def test_a_test_is_gone_with_its_file() -> None:
    assert is_gone("a.py::t", set(), set(), lambda file: file != "a.py")


def test_a_test_without_a_file_is_never_gone() -> None:
    assert not is_gone("::C::t", {"", "::C"}, set(), lambda file: False)


def test_the_second_test_with_an_id_is_not_gone_while_the_first_is_there() -> None:
    assert not is_gone("a.py::t #2", {"a.py"}, {"a.py::t"}, lambda file: True)
    assert is_gone("a.py::t #2", {"a.py"}, {"a.py::u"}, lambda file: True)


def test_a_test_in_a_folder_with_a_bracket_stays_in_doubt() -> None:
    assert not is_gone("d[1]/a.py::t", {"d[1]/a.py", "d"}, set(), lambda file: True)


# -- gone, with a secret in the id --------------------------------------------------------------------------------------

SECRETS = st.sampled_from(["t[***]", "t[***-1]", "t[a-***]", "t[***] #2", "***", "t***"])
LIKE = st.sets(st.sampled_from(["t[x]", "t[y-1]", "t[a-x]", "t[a-y]", "t", "u"]))


@given(SECRETS, LIKE, LIKE)
def test_a_redacted_test_is_gone_just_when_all_it_may_stand_for_run_today(
    name: str, there: set[str], running: set[str]
) -> None:
    key, present, runs = (
        f"a.py::{name}",
        {f"a.py::{one}" for one in there},
        {f"a.py::{one}" for one in running},
    )
    may_be = {one for one in present if one.startswith(key.partition("***")[0])}
    assert is_gone(key, {"a.py"}, present, lambda file: True, runs) is (may_be <= runs)


@given(LIKE)
def test_a_test_with_a_secret_in_a_folder_or_class_stays_in_doubt(there: set[str]) -> None:
    present = {f"a.py::{one}" for one in there}
    for key in ("***", "***/a.py::t", "*** #2", "a.py::C***::t"):
        assert not is_gone(key, {"a.py"}, present | {"a.py::C1"}, lambda file: "*" not in file, present)
