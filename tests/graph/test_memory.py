"""The oracles: a twin that runs the graph and looks which memory is needed, and hand sums."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings, strategies as st
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from lilliput.core import Model
from lilliput.graph import Graph, MemoryProfile, peak_memory, trace
from lilliput.testing import TINY_TASKS


def profile(module: nn.Module, *inputs: Tensor) -> MemoryProfile:
    return peak_memory(trace(Model(module.eval(), inputs)))


def twin(graph: Graph) -> list[int]:
    """Runs each operator on real tensors, and adds up the memory that it or later ones touch."""
    program = graph.program
    held: dict[Any, Any] = {}
    users = set(program.graph_signature.user_inputs)
    state = {**program.state_dict, **program.constants}
    several = [torch.cat([x, x])[: graph.batch] for x in graph.model.example_inputs]
    given_ = iter([x.clone() for x in several])
    depends, calls = set(), []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            is_input = node.name in users
            held[node] = next(given_) if is_input else state[graph.tensor_names[node.name]]
            depends |= {node} if is_input else set()
        elif node.op == "call_function":
            args, kwargs = tree_map(
                lambda x: held[x] if isinstance(x, torch.fx.Node) else x, (node.args, node.kwargs)
            )
            held[node] = node.target(*args, **kwargs)
            depends |= {node} if depends & set(node.all_input_nodes) else set()
            calls += [node] if node in depends else []
    output = next(n for n in program.graph.nodes if n.op == "output")
    live = []
    for step, node in enumerate(calls):
        made = [
            n for n in held if n in depends and (n.op == "placeholder" or n in calls[: step + 1])
        ]
        wanted = [m for later in calls[step:] for m in later.all_input_nodes]
        needed = [node, *wanted, *output.all_input_nodes]
        needed_storage = {address for n in needed if n in depends for address in _storages(held[n])}
        born = {a: size for n in made for a, size in _storages(held[n]).items()}
        live.append(sum(size for a, size in born.items() if a in needed_storage) // graph.batch)
    return live


def _storages(value: Any) -> dict[int, int]:
    tensors = [x for x in tree_leaves(value) if isinstance(x, Tensor)]
    return {x.untyped_storage()._cdata: x.untyped_storage().nbytes() for x in tensors}


@pytest.mark.parametrize("tiny", TINY_TASKS)
@torch.no_grad()
def test_agrees_with_a_real_run_on_every_task(tiny: str) -> None:
    graph = trace(TINY_TASKS[tiny]()[0])
    assert [size for _, size in peak_memory(graph).live_bytes] == twin(graph)


OPERATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "relu": lambda a, _: torch.relu(a),
    "relu_": lambda a, _: torch.relu_(a),
    "view": lambda a, _: a.flatten(1).unsqueeze(1),
    "turn": lambda a, _: (a if a.dim() > 2 else a.unsqueeze(1)).transpose(-1, -2),
    "half": lambda a, _: a.flatten(1)[:, : max(1, a[0].numel() // 2)],
    "cat": lambda a, b: torch.cat([a.flatten(1), b.flatten(1)], 1),
    "split": lambda a, _: a.flatten(1).chunk(2, 1)[0],
}


class Random(nn.Module):
    """Any sequence of operators, each on one or two earlier tensors."""

    def __init__(self, steps: list[tuple[str, int, int]]) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        made = [x * 1]
        for kind, first, second in self.steps:
            made.append(OPERATORS[kind](made[first % len(made)], made[second % len(made)]))
        return made[-1], made[len(made) // 2]


@settings(max_examples=12, deadline=None)
@example(steps=[("half", 0, 0), ("turn", 1, 0), ("cat", 0, 2)])
@given(
    st.lists(
        st.tuples(st.sampled_from(list(OPERATORS)), st.integers(0, 9), st.integers(0, 9)),
        max_size=9,
    )
)
@torch.no_grad()
def test_agrees_with_a_real_run_of_any_operators(steps: list[tuple[str, int, int]]) -> None:
    graph = trace(Model(Random(steps), (torch.randn(2, 3, 4),)))
    assert [size for _, size in peak_memory(graph).live_bytes] == twin(graph)


def test_a_chain_holds_what_goes_in_and_out() -> None:
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    found = profile(net, torch.randn(1, 4))
    assert found.live_bytes == (("0", 80), ("1", 128), ("2", 72))
    assert (found.peak_bytes, found.peak_at) == (128, "1")


def test_an_operator_in_place_takes_no_memory_of_its_own() -> None:
    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(inplace=True), nn.Linear(16, 2))
    assert profile(net, torch.randn(1, 4)).live_bytes == (("0", 80), ("1", 64), ("2", 72))


def test_views_and_dropout_take_no_memory() -> None:
    net = nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Dropout(), nn.Flatten(), nn.Linear(4, 4))
    assert [size for _, size in profile(net, torch.randn(1, 4)).live_bytes] == [16, 16, 16, 32]


def test_a_shortcut_keeps_its_tensor_alive() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.fc2(self.fc1(x))

    # x and fc1, then x, fc1 and fc2, then x, fc2 and the sum
    assert [size for _, size in profile(Residual(), torch.randn(1, 4)).live_bytes] == [32, 48, 48]


def test_an_output_lives_to_the_end_and_a_read_input_dies() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            first = x * 2
            return first, (first + 1).sum(1)

    # x and first, first and the sum's input, then that, first and the sum
    assert [size for _, size in profile(Two(), torch.randn(1, 4)).live_bytes] == [32, 32, 36]


def test_weights_do_not_count() -> None:
    narrow = profile(nn.Sequential(nn.Embedding(4, 8)), torch.zeros(1, 2, dtype=torch.int64))
    wide = profile(nn.Sequential(nn.Embedding(4000, 8)), torch.zeros(1, 2, dtype=torch.int64))
    assert narrow == wide


def test_the_batch_does_not_matter() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert profile(net, torch.randn(1, 3, 9, 9)) == profile(net, torch.randn(4, 3, 9, 9))


def test_an_example_that_is_a_slice_counts_as_itself() -> None:
    net, data = nn.Sequential(nn.Linear(4, 2)), torch.randn(100, 4)
    assert profile(net, data[:2]).peak_bytes == 24


def test_a_network_that_does_nothing_needs_its_input() -> None:
    assert profile(nn.Identity(), torch.randn(2, 4)) == MemoryProfile(16, "", ())
