"""What a worker asks its controller before a retry, because it holds for the whole run."""

from collections.abc import Callable
from queue import Empty, SimpleQueue

from pytest_resilience.core.outcomes import Outcome

SECONDS_TO_ANSWER = 30.0
NO_ANSWER = "the controller does not answer"


class Inquiry:
    """Asks, and waits for the answer: no answer is a no. `say` sends what the controller is to hear at once."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say
        self._number = 0
        self._answers: SimpleQueue[tuple[int, str]] = SimpleQueue()
        self._is_cut_off = False

    def refuses(self, key: str, attempt: int, outcome: Outcome, *, is_wanted: bool) -> str:
        """Why a test may not be tried again after a bad attempt, empty when it may.

        The controller learns of the attempt in any case, and is waited for only when a retry is wanted.
        """
        bad = [key, attempt, outcome.value, is_wanted]
        if not is_wanted:
            self._say(bad=bad)
            return ""
        self._number += 1
        self._say(bad=bad, number=self._number)
        why = self._answer()
        if why is None:
            # A yes that is still on its way will not be used.
            self.unused(key, attempt + 1)
            return NO_ANSWER
        return why

    def unused(self, key: str, attempt: int) -> None:
        """A retry that was not refused, attempt number `attempt`, is not going to begin."""
        self._say(unused=[key, attempt])

    def _answer(self) -> str | None:
        while not self._is_cut_off:
            try:
                number, why = self._answers.get(timeout=SECONDS_TO_ANSWER)
            except Empty:
                break
            # Another number answers a question that was given up.
            if number == self._number:
                return why
        return None

    def answered(self, number: int, why: str) -> None:
        """The controller answered question `number`. Called in the thread that hears it."""
        self._answers.put((number, why))

    def cut_off(self) -> None:
        """Nothing more will be heard of the controller. Called in the thread that heard it."""
        self._is_cut_off = True
        self._answers.put((0, ""))
