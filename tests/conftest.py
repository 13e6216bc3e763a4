"""What holds for all our tests, wherever they run: on slow machines, and as a background job of a shell."""

import signal
import threading

from hypothesis import settings

# Machines of CI are slow at odd moments.
settings.register_profile("resilience", deadline=None)
settings.load_profile("resilience")

# A background job ignores Ctrl-C and so would all that the tests start; what they test is what a person types.
if (
    threading.current_thread() is threading.main_thread()
    and signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):
    signal.signal(signal.SIGINT, signal.default_int_handler)
