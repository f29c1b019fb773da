"""NNCodec with all of ours that it can take: the folded network, our steps, corrected biases.

What is left between the two are quantizers (its trellis, our second-order rounding) and coders.
"""

import json
from pathlib import Path

import peers_environment as environment
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lilliput.graph import filters
from lilliput.quantize.beside.lockstep import Lockstep, alone
from lilliput.quantize.beside.replay import parameter_of
from lilliput.quantize.coded.coded_weights import CodedWeights
from lilliput.quantize.rounding.gram import is_linear
from lilliput.quantize.rounding.least_squares import LeastSquares

__all__ = ["strengthened"]

QP = -28
_FINE = 32_000
_BIAS_STEP = 1 / 128
_POSITIONS = 1 << 13

State = dict[str, Tensor]


def strengthened(
    coded: CodedWeights, chosen: dict[str, float], octaves: float, folder: Path
) -> tuple[int, nn.Module]:
    """Bytes of its file, and the network that it decodes to.

    Args:
        coded: Of the network.
        chosen: Our steps.
        octaves: By which all of them are made coarser.
        folder: For its files.
    """
    steps = {name: step * 2**octaves for name, step in chosen.items()}
    coded.stepped.set_steps(chosen)
    small = coded.model().module
    coded.stepped.restore()
    kept = coded.stepped.module.state_dict()
    state = {name: kept[name].clone() for name in small.state_dict()}
    decoded = _through(state, steps, folder / "weights.nnc")
    state |= _biases(coded, {name: decoded[name] for name in steps})
    for name, value in state.items():
        if name not in steps and value.is_floating_point() and value.numel() > 1:
            steps[name] = max(float(value.square().mean().sqrt()), 1e-6) * _BIAS_STEP
    out = folder / "all.nnc"
    small.load_state_dict(_through(state, steps, out), strict=False)
    return out.stat().st_size, small


@torch.no_grad()
def _biases(coded: CodedWeights, decoded: State) -> State:
    """What takes up the differences of means, layer after layer."""
    for weight in coded.stepped.weights:
        weight.value.copy_(decoded[weight.name])
        # so fine that what was decoded passes as it is
        weight.set_step(float(weight.value.abs().max()) / _FINE)
    walk = Lockstep(coded.stepped.module, coded.read)
    once, found = alone(walk.module), {}
    for place in walk.walk():
        name = parameter_of(place.node.args[2:3])
        if is_linear(place) and place.node in once and name is not None:
            problem = LeastSquares.of(place, 1.0, positions=_POSITIONS)
            problem.set(filters(place.weight, len(problem.weight)))
            found[name] = place.bias.clone()
    coded.stepped.restore()
    return found


def _through(state: State, steps: dict[str, float], out: Path) -> State:
    """What comes back of a state."""
    source, told = out.with_suffix(".safetensors"), out.with_suffix(".json")
    save_file({name: value.contiguous() for name, value in state.items()}, source)
    told.write_text(json.dumps(steps))
    environment.run("peers_nncodec_network.py", source, out, QP, False, told)
    return load_file(f"{out}.safetensors")
