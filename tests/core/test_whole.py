"""Which files need not be imported: a digest stands for all that decides what a file's tests are."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.keys import parents_of
from pytest_resilience.core.whole import by_file, collection_digest, done, spared, still_whole

TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=6)
SOME = st.text(min_size=1, max_size=6)
KEYS = st.lists(TEXTS, max_size=4, unique=True)
FILES = st.sampled_from(["a.py", "b.py", "sub/a.py"])
NAMES = st.lists(st.sampled_from(["Test", "test_a", "test_b"]), min_size=1, max_size=3)
NESTED = st.sets(
    st.builds(
        lambda names, id: "::".join(["sub[1]/a.py", *names]) + id,
        NAMES,
        st.sampled_from(["", "[x]", "[x::y[]"]),
    )
)
TESTS = st.sets(st.builds(lambda file, name: f"{file}::t{name}", FILES, st.integers(0, 3)))


@given(SOME, SOME, KEYS, SOME, SOME, KEYS)
def test_two_digests_are_equal_only_when_all_that_they_stand_for_is(
    how: str, content: str, keys: list[str], other_how: str, other_content: str, other_keys: list[str]
) -> None:
    is_same = (how, content, sorted(keys)) == (other_how, other_content, sorted(other_keys))
    assert (
        collection_digest(how, content, keys) == collection_digest(other_how, other_content, other_keys)
    ) is is_same


@given(SOME, SOME, KEYS, st.randoms())
def test_the_order_of_tests_does_not_matter(how: str, content: str, keys: list[str], random: Random) -> None:
    shuffled = random.sample(keys, len(keys))
    assert collection_digest(how, content, keys) == collection_digest(how, content, shuffled) != ""


@given(KEYS, SOME)
def test_what_is_not_known_has_no_digest(keys: list[str], text: str) -> None:
    assert collection_digest("", text, keys) == collection_digest(text, "", keys) == ""


@given(TESTS, TESTS, SOME)
def test_a_file_is_whole_as_long_as_exactly_its_tests_are_known(
    then: set[str], now: set[str], how: str
) -> None:
    def of(keys: set[str], file: str) -> set[str]:
        return {key for key in keys if key.startswith(f"{file}::")}

    files = ["a.py", "b.py", "sub/a.py"]
    collected = {file: {collection_digest(how, f"content of {file}", of(then, file))} for file in files}
    whole = still_whole(collected, by_file(now), how, lambda file: f"content of {file}")
    assert set(whole) == {file for file in files if of(then, file) == of(now, file)}
    assert all(whole[file] in collected[file] for file in whole)
    assert not still_whole(collected, by_file(now), f"{how}x", lambda file: f"content of {file}")
    assert not still_whole(collected, by_file(now), how, lambda file: "other")
    assert not still_whole(collected, by_file(now), how, lambda file: "")
    assert not still_whole({file: {""} for file in files}, by_file(now), "", lambda file: "content")


@given(TESTS, TESTS, st.sets(FILES))
def test_a_file_is_done_when_it_is_whole_and_all_of_it_is_carried(
    known: set[str], carried: set[str], whole: set[str]
) -> None:
    found = done(whole, by_file(known), frozenset(carried))
    assert found <= whole
    for file in whole:
        assert (file in found) == all(key in carried for key in known if key.startswith(f"{file}::"))


def test_the_parents_of_a_test_have_no_parameters() -> None:
    key = "sub[1]/a.py::TestA::TestB::test_c[x::y[z]]"
    names = ["TestA", "TestA::TestB", "TestA::TestB::test_c"]
    assert list(parents_of(key)) == [f"sub[1]/a.py::{name}" for name in names]


@given(NESTED, NESTED)
def test_what_is_spared_has_no_test_that_is_to_be_made(some: set[str], carried: set[str]) -> None:
    carried, others = carried - some, some
    found = spared(carried, others)
    for node in found:
        assert not any(node in parents_of(key) for key in others)
        assert not any(other != node and other.startswith(f"{node}::") for other in found)
    told = [key for keys in found.values() for key in keys]
    assert len(set(told)) == len(told)
    # Nothing that could be spared is made.
    for key in carried:
        is_busy = all(any(node in parents_of(other) for other in others) for node in parents_of(key))
        assert (key in told) is not is_busy
