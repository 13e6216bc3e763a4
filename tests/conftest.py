"""What holds for all our tests: hypothesis sets no deadline, because the machines of CI are slow at odd moments."""

from hypothesis import settings

settings.register_profile("resilience", deadline=None)
settings.load_profile("resilience")
