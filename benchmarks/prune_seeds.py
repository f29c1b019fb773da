"""ResNet-20 with half its MACs after 9 epochs, beside Torch-Pruning: three seeds each.

Both rank by the L2 norm of groups and learn by the same `Distill`, with the same teacher, rate and
seeds: from the whole network, or from labels alone. Torch-Pruning halves the inner channels of
every block; it pairs the channels of option-A shortcuts wrongly, so those stay. Ours gives up one
block of the first stage, where the runtime takes as long for 8 channels as for 16, and halves the
inner channels of the others but one: block and channels were chosen on validation (test images 0
to 1,999). Where there is a teacher, ours gives the first epoch's time to each block alone; `inner`
has Torch-Pruning's channels and all nine epochs.

Rows are of test images 2,000 to 9,999; `metric of all` of all 10,000, as others report it.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import peers_environment as environment
from cases import Case
from peers import rebuilt
from remembered import remembered
from rows import Row
from scoring import EXAMPLE, TARGET, float_reference
from variants import folder, left

import lilliput as lp
from lilliput.measure import measure, measure_test
from lilliput.measure.intervals import mean as interval_of_mean
from lilliput.prune import RemoveBlocks
from lilliput.train import SGD, Training

EPOCHS, RATE, SEEDS = 9, 0.02, (0, 1, 2)
GONE, SPARED = "layer1.0", "layer3.0"

Maker = Callable[[lp.Model, Path], lp.Model]


def ours(model: lp.Model, _: Path) -> lp.Model:
    """A block less, and half the inner channels of the others but one."""
    names = [group.name for group in lp.channel_groups(lp.trace(model))]
    inner = [n for n in names if n.endswith(".conv1") and not n.startswith((GONE, SPARED))]
    return lp.run(model, [RemoveBlocks((GONE,)), lp.PruneChannels(dict.fromkeys(inner, 0.5))])


def inner(model: lp.Model, _: Path) -> lp.Model:
    """The same channels as Torch-Pruning may take."""
    names = [group.name for group in lp.channel_groups(lp.trace(model))]
    return lp.run(model, [lp.PruneChannels({n: 0.5 for n in names if n.endswith(".conv1")})])


def theirs(_: lp.Model, place: Path) -> lp.Model:
    """Half the inner channels by Torch-Pruning."""
    path = place / "pruned.safetensors"
    environment.run(
        "peers_torch_pruning.py", EXAMPLE.file("cifar-resnets/resnet20.safetensors"), path
    )
    return rebuilt(path)


def seeds(
    case: str, system: str, maker: Maker, alpha: float, has_layers: bool = False
) -> list[Row]:
    """Three trainings of one shape: the mean score with Student's interval, and the files' times.

    With `has_layers` the first epoch goes to each block alone.
    """
    model, task = EXAMPLE.resnet20()
    reference = float_reference("resnet20", model)
    place = folder(f"{case}-{system.split(maxsplit=1)[0].lower()}")
    place.mkdir(parents=True, exist_ok=True)
    small = maker(model, place)
    epochs = EPOCHS - has_layers
    if has_layers:  # the same for every seed
        alone = lp.DistillLayers(task, model, samples=4096, steps=600, batch=64)
        small = lp.run(small, [alone])
    everything = replace(
        task, test=EXAMPLE.Batches("test", 0, 10_000, 250, False), fingerprint="cifar10-all"
    )
    scores, drops, of_all, times = [], [], [], []
    for seed in SEEDS:
        learn = lp.Distill(
            task,
            remembered(model, "resnet20"),
            epochs=epochs,
            learning_rate=RATE,
            temperature=4.0,
            alpha=alpha,
            training=Training(optimizer=SGD(weight_decay=5e-4), seed=seed),
            checkpoint=place / str(seed),
        )
        artifact = lp.export(lp.run(small, [learn]), TARGET, place / f"file-{seed}")
        found = {m.quantity: m for m in measure_test(artifact, TARGET, task, reference)}
        scores.append(found["test_metric"].value)
        drops.append(found["test_drop"].value)
        whole = measure_test(artifact, TARGET, everything, reference)
        of_all += [m.value for m in whole if m.quantity == "test_metric"]
        timed = {m.quantity: m for m in measure(artifact, TARGET, task, reference)}
        times.append(timed["latency_ratio"].value)
    size = artifact.size_bytes
    return [
        over_seeds(case, system, "metric", scores),
        over_seeds(case, system, "drop", drops),
        over_seeds(case, system, "metric of all", of_all),
        over_seeds(case, system, "latency_ratio", times),
        Row(case, system, "size", size, "B", "measured"),
        Row(
            case, system, "float size / size", reference.artifact.size_bytes / size, "1", "measured"
        ),
        *left(case, model, small, system),
    ]


def over_seeds(case: str, system: str, quantity: str, values: list[float]) -> Row:
    """A mean with its interval over seeds."""
    interval = interval_of_mean(np.array(values))
    ends = (interval.low, interval.high)
    return Row(case, system, quantity, float(np.mean(values)), "1", "measured", *ends, len(values))


def cases() -> Iterator[Case]:
    """With a teacher, then with labels alone."""
    peer = f"Torch-Pruning {environment.version('torch-pruning')}"
    for name, alpha in (("taught", 0.9), ("labels", 0.0)):
        case = f"resnet20-2x-{name}"
        yield Case(case, partial(seeds, case, "lilliput", ours, alpha, has_layers=alpha > 0))
        yield Case(case, partial(seeds, case, peer, theirs, alpha), peer)
        same = f"resnet20-2x-{name}-inner"
        yield Case(same, partial(seeds, same, "lilliput", inner, alpha))
