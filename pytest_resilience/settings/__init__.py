"""Settings: what can be set, where it may stand, and which value holds."""
