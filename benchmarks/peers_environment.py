"""An environment of its own for the peers that do not belong in ours."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
VENV = HERE / "work" / "peers" / "venv"
PYTHON = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
REQUIREMENTS = (
    "torch==2.13.0",
    "nncf==3.4.0",
    "onnx",
    "onnxruntime==1.32.0",
    "torch-pruning==1.6.1",
    "emx-onnx-cgen==1.4.0",
    "nncodec==2.1.3",
    "safetensors",
    "pillow",
    "numpy",
    "jaxtyping",  # what our own package needs to name a network
    "lazy-loader",
)


class NotInstalledError(RuntimeError):
    """The packages do not install on this machine."""


def version(package: str) -> str:
    """The version asked for."""
    return next(r.split("==")[1] for r in REQUIREMENTS if r.startswith(f"{package}=="))


@cache
def create() -> None:
    """Makes the environment once; it is made again when what it should hold has changed.

    Raises:
        NotInstalledError: pip failed; holds its last lines.
    """
    stamp = VENV / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {', '.join(REQUIREMENTS)} in {VENV}", file=sys.stderr, flush=True)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        [str(PYTHON), "-m", "pip", "install", "--quiet", *REQUIREMENTS],
    ):
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            last = "; ".join(result.stderr.strip().splitlines()[-3:])
            raise NotInstalledError(f"{' '.join(command[1:4])} failed: {last}")
    stamp.write_text(wanted)


def run(script: str, *arguments: Path | int | bool) -> None:
    """Runs one of the scripts here in the environment.

    Raises:
        NotInstalledError: There is no such environment on this machine.
        CalledProcessError: The script failed; its own message is on stderr.
    """
    subprocess.run(_command(script, arguments), check=True, env=_variables())


def start(script: str, *arguments: Path) -> subprocess.Popen[str]:
    """Starts one of the scripts here in the environment; it answers line by line.

    Raises:
        NotInstalledError: There is no such environment on this machine.
    """
    pipe = subprocess.PIPE
    return subprocess.Popen(
        _command(script, arguments), stdin=pipe, stdout=pipe, text=True, env=_variables()
    )


def _command(script: str, arguments: tuple[Path | int | bool, ...]) -> list[str]:
    create()
    return [str(PYTHON), str(HERE / script), *(str(argument) for argument in arguments)]


def _variables() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(HERE.parent / "src")}
