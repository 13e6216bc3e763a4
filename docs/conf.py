"""How Sphinx builds the documentation."""

import re
from pathlib import Path

_package = Path(__file__).parent.parent / "pytest_resilience" / "__init__.py"
_version = re.search(r'^__version__ = "(.+)"$', _package.read_text(encoding="utf-8"), re.MULTILINE)
assert _version is not None

project = "pytest-resilience"
author = "pytest-resilience contributors"
copyright = f"2026, {author}"
version = release = _version[1]

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

exclude_patterns = ["_build"]

nitpicky = True
html_theme = "furo"
html_title = f"{project} {release}"
