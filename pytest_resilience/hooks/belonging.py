"""What tells that a process belongs to a worker: a variable of the environment, which all that the worker starts inherits."""

from collections.abc import Mapping
from typing import Any

VARIABLE = "PYTEST_RESILIENCE_WORKER"


def value_for(workerinput: Mapping[str, Any]) -> str:
    """What the variable has in the processes of a worker: each worker has a value of its own."""
    return f"{workerinput['testrunuid']}-{workerinput['workerid']}"
