"""Of a chain of errors `only` follows every link, and `except` those alone that somebody made on purpose."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.core.errors import causes, matches
from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.core.retry import Again, RetryPolicy


def raised(action: Callable[[], object]) -> Exception:
    """The error that comes of it."""
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def on_purpose() -> None:
    """The translation of an error."""
    try:
        raise TimeoutError("no answer")
    except TimeoutError as error:
        raise ValueError("no rate") from error


def by_accident() -> None:
    """A mistake in the handling of an error."""
    try:
        raise TimeoutError("no answer")
    except TimeoutError:
        raise ValueError("no rate")  # noqa: B904 - that is the case


def without() -> None:
    """An error that does not want to be known for another."""
    try:
        raise TimeoutError("no answer")
    except TimeoutError:
        raise ValueError("no rate") from None


def in_a_group() -> None:
    raise ExceptionGroup("several", [KeyError("other"), raised(on_purpose)])


@pytest.mark.parametrize(
    ("action", "is_in_only", "is_in_except"),
    [
        (on_purpose, True, True),
        (in_a_group, True, True),
        (by_accident, True, False),
        (without, False, False),
    ],
)
@pytest.mark.parametrize("one", [TimeoutError, "no answer"])
def test_an_error_that_was_being_handled_counts_for_only_and_not_for_except(
    action: Callable[[], None], is_in_only: bool, is_in_except: bool, one: str | type[BaseException]
) -> None:
    error = raised(action)
    only, except_ = RetryPolicy(retries=1, only=(one,)), RetryPolicy(retries=1, except_=(one,))
    assert (only.excludes(error) == "") is is_in_only
    assert (except_.excludes(error) != "") is is_in_except
    for policy in (only, except_):
        is_retried = isinstance(policy.decide(Outcome.FAILED, 1, error), Again)
        assert is_retried is (policy.excludes(error) == "")


def test_a_context_of_an_explicit_cause_excludes_nothing_either() -> None:
    error = ValueError("no rate")
    error.__cause__ = raised(by_accident)
    assert RetryPolicy(retries=1, except_=(TimeoutError,)).excludes(error) == ""
    assert RetryPolicy(retries=1, only=(TimeoutError,)).excludes(error) == ""


def test_what_is_in_both_is_in_except() -> None:
    policy = RetryPolicy(retries=1, only=(ValueError,), except_=(TimeoutError,))
    assert policy.excludes(raised(on_purpose)) == "the error is in except"
    assert policy.excludes(raised(by_accident)) == ""
    assert policy.excludes(KeyError("other")) == "the error is not in only"


def test_without_filters_nothing_is_excluded_and_without_an_error_what_is_not_in_only() -> None:
    assert RetryPolicy(retries=1).excludes(ValueError()) == ""
    assert RetryPolicy(retries=1, except_=("",)).excludes(None) == ""
    assert RetryPolicy(retries=1, only=("",)).excludes(None) == "the error is not in only"


# How one of several errors hangs on another, by their places: as its cause, its context, or a hidden context.
LINKS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from(("cause", "context", "hidden")))
)


def tied(links: list[tuple[int, int, str]]) -> list[ValueError]:
    errors = [ValueError(str(number)) for number in range(6)]
    for one, other, how in links:
        if how == "cause":
            errors[one].__cause__ = errors[other]
        else:
            errors[one].__context__ = errors[other]
            errors[one].__suppress_context__ = how == "hidden"
    return errors


def reachable(error: BaseException, *, with_context: bool) -> set[BaseException]:
    """All that hangs on an error, found the simple way."""
    found, grows = {error}, True
    while grows:
        more = {one.__cause__ for one in found}
        more |= {one.__context__ for one in found if with_context and not one.__suppress_context__}
        grows = not more <= found | {None}
        found |= {one for one in more if one is not None}
    return found


@given(LINKS, st.booleans())
def test_causes_are_all_that_can_be_reached(links: list[tuple[int, int, str]], with_context: bool) -> None:
    errors = tied(links)
    found = list(causes(errors[0], with_context=with_context))
    assert set(found) == reachable(errors[0], with_context=with_context)
    assert len(found) == len(set(found))


@given(LINKS, st.integers(0, 5))
def test_what_except_speaks_of_only_speaks_of_too(links: list[tuple[int, int, str]], number: int) -> None:
    error = tied(links)[0]
    wanted = (f"^ValueError: {number}$",)
    if matches(wanted, error, with_context=False):
        assert matches(wanted, error)
