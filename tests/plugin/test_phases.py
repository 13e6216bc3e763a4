"""``phases``, ``only`` and ``except``: which failures are worth another attempt, by where and by what."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from .harness import Batch

HEAD = """
import pytest
from steps import step

class Refused(ConnectionError): pass

def refused():
    return Refused("port 80 is closed")

@pytest.fixture
def own(request):
    step(request.node.name)
    phase, fail = request.function.fails
    if phase == "setup":
        fail()
    yield
    if phase == "teardown":
        fail()
"""
# A test that fails in one phase, with one error.
TEST = """
def fail_{number}():
    try:
        raise refused()
    except Refused as error:
        raise {error}

@pytest.mark.flaky(retries=1, {marker})
def test_{number}(own):
    if "{phase}" == "call":
        fail_{number}()
test_{number}.fails = "{phase}", fail_{number}
"""
PHASES = ("setup", "call", "teardown")


@dataclass(frozen=True)
class Case:
    """A test that fails in a phase with an error, and what its marker says."""

    marker: str
    phase: str = "call"
    error: str = "error"


def retried(pytester: pytest.Pytester, cases: Iterable[Case]) -> list[Case]:
    """Those of the cases that are tried again; each may be once."""
    several = list(cases)
    tests = [TEST.format(number=at, **vars(case)) for at, case in enumerate(several)]
    batch = Batch(pytester, "\n".join([HEAD, *tests]))
    run = batch.run()
    assert sum(run.outcomes.values()) == len(several)
    assert set(run.outcomes) <= {"failed", "error"}
    times = [batch.steps.count(f"test_{at}") for at in range(len(several))]
    assert set(times) <= {1, 2}
    return [case for case, number in zip(several, times, strict=True) if number == 2]


# -- where ---------------------------------------------------------------------------------------------------------


def test_a_failure_is_retried_in_the_phases_that_are_named(pytester: pytest.Pytester) -> None:
    some_phases = [some for number in (1, 2, 3) for some in itertools.combinations(PHASES, number)]
    cases = {
        Case(f"phases={some}", phase): phase in some for some, phase in itertools.product(some_phases, PHASES)
    }
    assert retried(pytester, cases) == [case for case, is_named in cases.items() if is_named]


def test_one_phase_may_stand_without_a_list(pytester: pytest.Pytester) -> None:
    cases = [Case("phases='setup'", phase) for phase in PHASES]
    assert retried(pytester, cases) == [Case("phases='setup'", "setup")]


def test_the_table_names_phases_too(pytester: pytest.Pytester) -> None:
    table = '[tool.resilience.retry]\nphases = ["setup", "teardown"]\n'
    suite = "from steps import step\nimport pytest\n@pytest.mark.flaky\ndef test_a(): assert step('a') > 9"
    batch = Batch(pytester, {"test_it.py": suite, "pyproject.toml": table})
    batch.run()
    assert batch.steps == ["a"]
    batch.write({"pyproject.toml": table.replace("teardown", "call")})
    batch.run()
    assert batch.steps == ["a"] * 3


def test_a_test_that_failed_in_call_and_in_teardown_failed_in_call(pytester: pytest.Pytester) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture
        def own():
            yield
            raise OSError
        @pytest.mark.flaky(retries=1, phases="call")
        def test_call(own): assert step("call") > 9
        @pytest.mark.flaky(retries=1, phases="teardown")
        def test_teardown(own): assert step("teardown") > 9
        """,
    )
    batch.run()
    assert batch.steps == ["call", "call", "teardown"]


def test_the_error_of_a_teardown_after_a_failed_call_is_in_the_ledger_with_it(
    pytester: pytest.Pytester,
) -> None:
    batch = Batch(
        pytester,
        """
        import pytest
        from steps import step
        @pytest.fixture
        def own():
            yield
            if step("own") < 2:
                raise OSError("the disk is gone\\nfor ever")
        @pytest.mark.flaky(retries=1)
        def test_a(own): assert step("a") > 1, "too early"
        """,
    )
    run = batch.run("-v")
    assert run.outcomes == {"flaky": 1}
    (line,) = [one for one in run.lines if "RERUN" in one]
    assert line.endswith("AssertionError: too early; then OSError: the disk is gone")


# -- which errors: by what, whatever the phase ---------------------------------------------------------------------

ERRORS = {
    "itself": "error",
    "cause": "ValueError('cannot load') from error",
    "context": "ValueError('cannot load')",
    "suppressed": "ValueError('cannot load') from None",
    "group": "ExceptionGroup('several', [KeyError('x'), error])",
    "cause in a group": "ExceptionGroup('several', [KeyError('x')]) from error",
}
# What a filter says of the error that all of these come from.
SPEAKS_OF = ["ConnectionError", "'^Refused: port [0-9]+'", "[KeyboardInterrupt, OSError]", "'closed$'"]
SPEAKS_OF_ANOTHER = ["TimeoutError", "'^ConnectionError'", "'CLOSED'"]


def test_only_and_except_speak_of_causes_contexts_and_members_of_groups(pytester: pytest.Pytester) -> None:
    cases: dict[Case, bool] = {}
    for name, error in ERRORS.items():
        # What was merely being handled is worth a retry, and takes none away.
        is_only, is_except = name != "suppressed", name not in ("suppressed", "context")
        for one in SPEAKS_OF:
            cases[Case(f"only={one}", error=error)] = is_only
            cases[Case(f"except_={one}", error=error)] = not is_except
        for one in SPEAKS_OF_ANOTHER:
            cases[Case(f"only={one}", error=error)] = False
            cases[Case(f"except_={one}", error=error)] = True
    assert retried(pytester, cases) == [case for case, is_retried in cases.items() if is_retried]


def test_phase_only_except_and_condition_all_have_to_agree(pytester: pytest.Pytester) -> None:
    cases: dict[Case, bool] = {}
    for phase in PHASES:
        for is_named, is_only, is_except, holds in itertools.product([True, False], repeat=4):
            phases = [one for one in PHASES if (one == phase) == is_named]
            only = "OSError" if is_only else "ValueError"
            except_ = "'closed'" if is_except else "'open'"
            case = Case(f"phases={phases}, only={only}, except_={except_}, condition={holds}", phase)
            cases[case] = is_named and is_only and not is_except and holds
    assert retried(pytester, cases) == [case for case, is_retried in cases.items() if is_retried]
    assert sum(cases.values()) == len(PHASES)
