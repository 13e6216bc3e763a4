"""A worker that asks for a retry waits for its answer, and never longer than there can be one."""

import threading
from typing import Any

import pytest

from pytest_resilience.core.outcomes import Outcome
from pytest_resilience.hooks import inquiry
from pytest_resilience.hooks.inquiry import NO_ANSWER, Inquiry


class Controller:
    """Notes what it is told, and does with an inquiry what the test wants it to, in a thread of its own."""

    def __init__(self) -> None:
        self.inquiry = Inquiry(self.hear)
        self.told: list[dict[str, Any]] = []
        self.on_question = lambda number: self.inquiry.answered(number, "")

    def hear(self, **said: Any) -> None:
        self.told.append(said)
        if "number" in said:
            threading.Thread(target=self.on_question, args=(said["number"],)).start()

    def refuses(self, *, is_wanted: bool = True) -> str:
        return self.inquiry.refuses("a", 1, Outcome.FAILED, is_wanted=is_wanted)


@pytest.fixture
def controller(monkeypatch: pytest.MonkeyPatch) -> Controller:
    """A controller whose answers are waited for so long that a test would never end."""
    monkeypatch.setattr(inquiry, "SECONDS_TO_ANSWER", 3600.0)
    return Controller()


@pytest.mark.parametrize("why", ["", "the budget of 3 is spent"])
def test_the_answer_is_what_the_controller_says(controller: Controller, why: str) -> None:
    controller.on_question = lambda number: controller.inquiry.answered(number, why)
    assert controller.refuses() == why
    assert controller.told == [{"bad": ["a", 1, "failed", True], "number": 1}]


def test_a_failure_that_is_not_retried_is_told_and_not_waited_for(controller: Controller) -> None:
    assert controller.refuses(is_wanted=False) == ""
    assert controller.told == [{"bad": ["a", 1, "failed", False]}]


def test_without_an_answer_the_retry_is_refused_and_left_to_others(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "SECONDS_TO_ANSWER", 0.001)
    controller.on_question = lambda number: None
    assert controller.refuses() == NO_ANSWER
    assert controller.told[1:] == [{"unused": ["a", 2]}]


def test_a_late_answer_is_not_taken_for_the_next_one(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "SECONDS_TO_ANSWER", 0.001)
    controller.on_question = lambda number: None
    controller.refuses()
    monkeypatch.setattr(inquiry, "SECONDS_TO_ANSWER", 3600.0)
    controller.inquiry.answered(1, "")
    controller.on_question = lambda number: controller.inquiry.answered(number, "no")
    assert controller.refuses() == "no"


def test_a_worker_that_waits_is_woken_when_its_controller_goes(controller: Controller) -> None:
    controller.on_question = lambda number: controller.inquiry.cut_off()
    assert controller.refuses() == NO_ANSWER


def test_a_worker_without_a_controller_does_not_wait(controller: Controller) -> None:
    controller.inquiry.cut_off()
    controller.on_question = lambda number: None
    assert [controller.refuses() for _ in range(3)] == [NO_ANSWER] * 3
