"""What holds for every test."""

import os
import signal

# before torch starts its own: the nets are tiny, so threads would only wait for one another
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a shell that starts the tests in the background has Ctrl-C ignored; tests of Ctrl-C need it
signal.signal(signal.SIGINT, signal.default_int_handler)
