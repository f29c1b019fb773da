"""Means over a whole map in two steps, so that the map need never be there as a whole."""

from dataclasses import replace

from lilliput.export.c.lower.step import Program, Step
from lilliput.export.c.network import Network, Tensor

__all__ = ["with_sums"]


def with_sums(program: Program) -> Program:
    """Each mean over all places of one map becomes the sums, and what is made of them."""
    tensors = list(program.network.tensors)
    steps: list[Step] = []
    for step in program.steps:
        finish = _finish(program.network, step)
        if finish is None:
            steps.append(step)
            continue
        x = tensors[step.reads[0]]
        sums = len(tensors)
        tensors.append(_sums(x))
        settings = {"count": x.count // x.shape[3], "channels": x.shape[3], "is_first": 1}
        steps.append(replace(step, kernel="sum_up", writes=sums, settings=settings))
        steps.append(replace(finish, reads=(sums,), macs=0))
    network = replace(program.network, tensors=tuple(tensors))
    return Program(network, tuple(steps), program.places)


def _sums(x: Tensor) -> Tensor:
    """Four bytes for each channel."""
    return replace(x, name=f"sums of {x.name}", shape=(4 * x.shape[3],))


def _finish(network: Network, step: Step) -> Step | None:
    """What makes the mean of sums; None for what is no mean over all places of one map."""
    of, x = step.settings, network.tensors[step.reads[0]] if step.reads else None
    names: tuple[str, ...] = ()
    if x is None or len(x.shape) != 4 or x.shape[0] != 1:
        return None
    count, channels = x.shape[1] * x.shape[2], x.shape[3]
    if step.kernel == "average_pool_2d":
        sizes = ("in_height", "in_width", "out_height", "out_width", "pad_height", "pad_width")
        is_whole = [of[name] for name in sizes] == [x.shape[1], x.shape[2], 1, 1, 0, 0]
        reaches = of["kernel_height"] >= x.shape[1] and of["kernel_width"] >= x.shape[2]
        names = ("low", "high") if is_whole and reaches else ()
    else:
        is_whole = step.kernel == "mean" and (of["outer"], of["count"]) == (1, count)
        names = ("multiplier", "in_zero", "out_zero", "shift") if is_whole else ()
    if not names:
        return None
    settings = {"count": count, "channels": channels} | {name: of[name] for name in names}
    kernel = "mean_of_sums" if step.kernel == "mean" else "average_of_sums"
    return replace(step, kernel=kernel, settings=settings)
