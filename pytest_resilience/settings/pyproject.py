"""Where our table is: in pyproject.toml, beside what other tools have there."""

from pathlib import Path

from pytest_resilience.settings.values import invalid


def table_in(pyproject: Path) -> dict[str, object] | None:
    """The ``[tool.resilience]`` table of a file, None when there is none. Raises SettingsError for a broken file."""
    try:
        text = pyproject.read_bytes()
    except OSError:
        return None
    if b"resilience" not in text:
        return None
    try:
        import tomllib

        tool = tomllib.loads(text.decode("utf-8")).get("tool", {})
    except (ValueError, RecursionError) as error:
        raise invalid(f"{pyproject} is no valid TOML: {error}") from None
    table = tool.get("resilience") if isinstance(tool, dict) else None
    if table is None:
        return None
    if not isinstance(table, dict):
        raise invalid(f"tool.resilience in {pyproject}: expected a table")
    return table
