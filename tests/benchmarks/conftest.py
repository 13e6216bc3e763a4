"""The benchmark is no part of the wheel and not on sys.path: it is imported from where it is, as ``benchmarks``."""

import importlib.util
import sys
from pathlib import Path

_INIT = Path(__file__).parents[2] / "benchmarks" / "__init__.py"


def _import_benchmarks() -> None:
    spec = importlib.util.spec_from_file_location("benchmarks", _INIT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmarks"] = module
    spec.loader.exec_module(module)


_import_benchmarks()
