"""How long it takes to find which layers quantization costs accuracy at, and which these are.

    python benchmarks/diagnose.py --data DIR --net resnet20 --bits 4

In processor time of one thread, which a busy machine changes little.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from rows import Row, save

import lilliput as lp
from lilliput.core.data import set_data_dir
from lilliput.search.clinic.culprits import suspects


def network(name: str) -> tuple[lp.Model, lp.Task]:
    """One of the nets with real data."""
    if name == "lite0":
        import lite0

        return lite0.model(), lite0.task()
    sys.path.insert(0, str(Path(__file__).parent.parent / "examples"))
    import cifar10

    return {"resnet20": cifar10.resnet20, "resnet56": cifar10.resnet56}[name]()


def analysis(name: str, bits: int, samples: int) -> list[Row]:
    """Times `suspects` of the whole network, and prints the worst."""
    model, task = network(name)
    precision = lp.Precision({"*": bits} if bits != 8 else {})
    rules = lp.get_target("onnxruntime-cpu").rules
    quantized = lp.run(model, [lp.QuantizeStatic(rules, task, precision=precision, samples=128)])
    start = time.process_time()
    found = suspects(quantized, task, samples)
    spent = time.process_time() - start
    print(f"{name}, {bits} bits: {found.divergence} {found.whole.divergence:.4g} in all")
    for suspect in found.suspects[:5]:
        print(f"  {suspect.site.name}: {suspect.effects['alone'].divergence:.4g} alone")
    case = f"{name} {bits} bits, {len(found.suspects)} places, {found.samples} examples"
    return [Row(case, "lilliput", "culprits, processor time", spent, "s", "measured")]


def main() -> None:
    """Runs one net."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--net", choices=("resnet20", "resnet56", "lite0"), default="resnet20")
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--samples", type=int, default=128)
    given = parser.parse_args()
    set_data_dir(given.data)
    torch.set_num_threads(1)
    save("diagnose", analysis(given.net, given.bits, given.samples))


if __name__ == "__main__":
    main()
