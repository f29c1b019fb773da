"""Which networks lose half of their channels and stay right: ours, and Torch-Pruning beside it.

A pruned network is right if it gives what the whole one gives with the same channels set to zero.
Each row is 1 for right and 0 for not; its method says what happened. MiniLM keeps the width that
its output shares, in both.
"""

import json
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import peers_environment as environment
import torch
from cases import Case
from rows import Row, read
from scoring import WORK
from structure_nets import NETWORKS, Built
from torch.utils._pytree import tree_leaves

import lilliput as lp
from lilliput.graph import silence_channels
from lilliput.prune import Magnitude

__all__ = ["cases"]

CASE = "structures"
RATIO = 0.5
PEER = f"torch-pruning {environment.version('torch-pruning')}"
TIMED = ("EfficientNet-Lite0", "MiniLM-L6")


@dataclass(frozen=True)
class Verdict:
    """What became of one network.

    Args:
        outcome: "right", "wrong", "raises", "does not run", or "removes nothing".
        left: Share of the parameters that are left.
    """

    outcome: str
    left: float = 1.0


def rows_of(system: str, name: str, verdict: Verdict) -> list[Row]:
    """Whether it is right, and how much is left."""
    is_right = float(verdict.outcome == "right")
    return [
        Row(CASE, system, name, is_right, "1", verdict.outcome),
        Row(CASE, system, f"{name}, parameters left", verdict.left, "1", "counted"),
    ]


def ours(name: str) -> list[Row]:
    """Half of every width goes."""
    net, inputs = NETWORKS[name]()
    model = lp.Model(net, inputs)
    graph = lp.trace(model)
    start = time.perf_counter()
    found = lp.channel_groups(graph)
    seconds = time.perf_counter() - start
    small = lp.run(model, [lp.PruneChannels(RATIO)])
    groups = [group for group in found if group.kind == "channels"]
    scores = Magnitude()(model, groups)
    drop = {
        g.name: scores[g.name].argsort(stable=True)[: round(g.size * RATIO)].tolist()
        for g in groups
    }
    silent = silence_channels(model, drop, found)
    left = _numbers(small.module) / _numbers(net)
    is_right = _agrees(small.module, silent.module, inputs) and left < 1
    rows = rows_of("lilliput", name, Verdict("right" if is_right else "wrong", left))
    if name in TIMED:
        quantity = f"{name}, time to find groups"
        rows.append(Row(CASE, "lilliput", quantity, seconds, "s", "measured"))
    return rows


@torch.no_grad()
def _agrees(net: torch.nn.Module, silent: torch.nn.Module, inputs: Built) -> bool:
    pairs = zip(tree_leaves(net(*inputs)), tree_leaves(silent(*inputs)), strict=True)
    return all(torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(b.abs().max())) for a, b in pairs)


def _numbers(net: torch.nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def all_of_ours() -> list[Row]:
    """Every network."""
    return [row for name in NETWORKS for row in ours(name)]


def the_peers() -> list[Row]:
    """Every network, where Torch-Pruning is installed; what it lacks to build them is read here."""
    path = WORK / "structures.json"
    path.parent.mkdir(exist_ok=True)
    environment.run("peers_structures.py", path, Path(sysconfig.get_path("purelib")))
    verdicts = {name: Verdict(*pair) for name, pair in json.loads(path.read_text()).items()}
    rows = [row for name, verdict in verdicts.items() for row in rows_of(PEER, name, verdict)]
    print(table([*read("prune"), *rows]))
    return rows


def table(rows: list[Row]) -> str:
    """Both systems side by side, as Markdown."""
    cells = {(r.quantity, r.system): r for r in rows if r.case == CASE}
    lines = ["| network | lilliput | left | torch-pruning | left |", "|---|---|---|---|---|"]
    for name in NETWORKS:
        shown = [name]
        for system in ("lilliput", PEER):
            verdict, left = (cells.get((q, system)) for q in (name, f"{name}, parameters left"))
            shown += [verdict.method if verdict else "-", f"{left.value:.0%}" if left else "-"]
        lines.append(f"| {' | '.join(shown)} |")
    return "\n".join(lines)


def cases() -> Iterator[Case]:
    """Ours, then the peer's, which prints the table of both."""
    yield Case(CASE, all_of_ours)
    yield Case(CASE, the_peers, PEER)
