"""NNCodec on a whole network: `python peers_nncodec_network.py STATE OUT QP OPT_QP [STEPS]`.

Reads a safetensors state, writes OUT (the bitstream) and OUT.safetensors (what it decodes to).
Dependent quantization and parameter optimization are on, as its own defaults have them. STEPS
(JSON) names the steps of tensors that do not take that of QP.
"""

import json
import math
import sys
from pathlib import Path
from unittest.mock import MagicMock

# only its data sets use torchvision, whose builds do not import beside every torch
for name in ("torchvision", "torchvision.transforms", "torchvision.datasets", "torchvision.models"):
    sys.modules[name] = MagicMock()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from nncodec import nnc  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402


def main(state: Path, out: Path, qp: int, is_optimized: bool, steps: Path | None) -> None:
    """Codes floats; the rest is not of the network's weights."""
    arrays = {k: v for k, v in load_file(state).items() if v.dtype == np.float32}
    torch.set_num_threads(1)
    options = {"opt_qp": True} if is_optimized else {}
    if steps is not None:
        found = json.loads(steps.read_text())
        options["qp_per_tensor"] = {name: np.int32(_qp(step)) for name, step in found.items()}
    nnc.compress(arrays, str(out), qp=qp, use_dq=True, param_opt=True, **options)
    decoded = nnc.decompress(str(out), verbose=False)
    save_file(
        {k: np.ascontiguousarray(v, np.float32) for k, v in decoded.items()}, f"{out}.safetensors"
    )


def _qp(step: float) -> int:
    """The nearest `qp` of its default density: four to an octave, a quarter of it apart."""
    octave = math.floor(math.log2(step))
    return 4 * octave + round(4 * (step / 2**octave - 1))


if __name__ == "__main__":
    main(
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        int(sys.argv[3]),
        sys.argv[4] == "True",
        Path(sys.argv[5]) if len(sys.argv) > 5 else None,
    )
