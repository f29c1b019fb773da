"""A short, repeatable run of `compress`, in a process that a test can kill: FOLDER."""

import importlib.util
import sys
from pathlib import Path

import torch

import lilliput as lp


def main() -> None:
    torch.set_num_threads(1)
    path = Path(__file__).parent.parent / "examples" / "digits.py"
    spec = importlib.util.spec_from_file_location("digits", path)
    assert spec is not None
    assert spec.loader is not None
    digits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(digits)
    torch.manual_seed(0)
    model = lp.Model(digits.Net(16).eval(), (digits.splits()["train"][0][:1],))
    lp.compress(
        model,
        digits.task(),
        lp.Budget(max_drop=0.5),
        out=sys.argv[1],
        time_budget_s=1e6,
        max_epochs=1,
        trials=2,
        tell=lambda line: print(line, flush=True),
    )


if __name__ == "__main__":
    main()
