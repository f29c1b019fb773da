"""What holds for every test."""

import os

# before torch starts its own: the nets are tiny, so threads would only wait for one another
os.environ.setdefault("OMP_NUM_THREADS", "1")
