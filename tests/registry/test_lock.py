import subprocess
import sys

import pytest

from lilliput.core import RegistryError
from lilliput.registry.lock import alone_in

HOLD = """
import sys
from pathlib import Path
from lilliput.registry.lock import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(RegistryError, match="another process is at work"), alone_in(tmp_path):
        pass
    holder.kill()
    holder.communicate()
    with alone_in(tmp_path):
        assert tmp_path.is_dir()
