"""The two LeNets on MNIST with few of their weights, and winning tickets beside random ones.

Trained here; choices were made on the last 5,000 training images, rows are of the 10,000 to test.

Source: Han et al. 2015, "Learning both Weights and Connections", tables 1, 3 and 4: 12 times fewer
weights without loss; Frankle and Carbin 2019, "The Lottery Ticket Hypothesis", section 2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

import mnist
import numpy as np
from cases import Case
from rows import Row
from variants import folder, left, reference_of, rows_of

import lilliput as lp
from lilliput.measure.intervals import mean as interval_of_mean
from lilliput.prune import GradualPruning, PruneWeights, Rewind, ShuffleMasks
from lilliput.train import SGD, OneCycle, Training

TARGET = lp.get_target("onnxruntime-cpu")
TIMES_FEWER = {"lenet300": (12, 20, 33, 50, 100), "lenet5": (12, 25, 50, 100, 200)}
ROUNDS, SHARE, TICKET_EPOCHS = (
    14,
    0.2,
    5,
)  # of the weights that are left, each round: 4.4 % are left at the end


@dataclass(frozen=True)
class Net:
    """One of the nets, and how it is trained."""

    fresh: Callable[[int], lp.Model]
    epochs: int
    rate: float


NETS = {
    "lenet300": Net(mnist.lenet300, 20, 0.1),
    "lenet5": Net(mnist.lenet5, 15, 0.05),
}


def training(task: lp.Task, net: Net, seed: int = 0, **options: object) -> lp.FineTune:
    """One cycle from any weights."""
    how = Training(optimizer=SGD(weight_decay=1e-4), schedule=OneCycle(), seed=seed)
    return lp.FineTune(task, epochs=net.epochs, learning_rate=net.rate, training=how, **options)


@cache
def trained(name: str) -> lp.Model:
    """The dense net."""
    net = NETS[name]
    pass_ = training(mnist.task(), net, checkpoint=folder(f"{name}-dense"))
    return lp.run(net.fresh(0), [pass_])


@cache
def reference(name: str) -> lp.Reference:
    """Its file."""
    return reference_of(name, trained(name), TARGET)


def dense(name: str) -> list[Row]:
    """The dense net beside itself."""
    model = trained(name)
    return rows_of(f"{name}-dense", model, model, mnist.task(), reference(name), TARGET)


def sparse(name: str, times: int) -> list[Row]:
    """Weights go little by little while the net learns on."""
    case = f"{name}-{times}x"
    hook = GradualPruning(1 - 1 / times, end=0.6)
    learn = training(mnist.task(), NETS[name], hooks=(hook,), checkpoint=folder(case))
    small = lp.run(trained(name), [PruneWeights(0.0), learn])
    return rows_of(case, trained(name), small, mnist.task(), reference(name), TARGET)


def tickets(seeds: tuple[int, ...] = (0, 1, 2)) -> list[Row]:
    """Masks found round by round, trained from the first weights; and the same masks shuffled."""
    task, net = mnist.task(), replace(NETS["lenet300"], epochs=TICKET_EPOCHS)
    found: dict[str, list[float]] = {"ticket": [], "random ticket": [], "dense": []}
    for seed in seeds:
        start = net.fresh(seed)
        model = lp.run(start, [training(task, net, seed)])
        found["dense"].append(accuracy(model, task))
        for index in range(1, ROUNDS + 1):
            sparsity = 1 - (1 - SHARE) ** index
            ticket = lp.run(model, [PruneWeights(sparsity), Rewind(start)])
            model = lp.run(ticket, [training(task, net, seed)])
        random = lp.run(ticket, [ShuffleMasks(seed), Rewind(start), training(task, net, seed)])
        found["ticket"].append(accuracy(model, task))
        found["random ticket"].append(accuracy(random, task))
    rows = left("lenet300-tickets", start, ticket)
    return rows + [over_seeds(f"metric of the {arm}", values) for arm, values in found.items()]


def over_seeds(quantity: str, values: list[float]) -> Row:
    """The mean, with Student's interval over the seeds."""
    interval = interval_of_mean(np.array(values))
    ends = (interval.low, interval.high)
    mean = float(np.mean(values))
    return Row("lenet300-tickets", "lilliput", quantity, mean, "1", "measured", *ends, len(values))


def accuracy(model: lp.Model, task: lp.Task) -> float:
    """Top-1 of the test images, in the file's own runtime."""
    artifact = lp.export(model, TARGET, folder("lenet300-tickets"))
    run = lp.load(artifact.path, artifact.format)
    right = [run((x.numpy(),))[0].argmax(1) == y.numpy() for x, y in task.test]
    return float(np.concatenate(right).mean())


def cases() -> Iterator[Case]:
    """Dense, then ever fewer weights."""
    for name, counts in TIMES_FEWER.items():
        yield Case(f"{name}-dense", partial(dense, name))
        for times in counts:
            yield Case(f"{name}-{times}x", partial(sparse, name, times))
    yield Case("lenet300-tickets", tickets)
