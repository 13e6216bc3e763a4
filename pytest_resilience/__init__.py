"""Resilient test runs for pytest: retries, stop thresholds, a ledger that survives a kill, and a resume."""

__version__ = "0.1.0"
