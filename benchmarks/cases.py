"""A benchmark as named cases: each makes its rows once, unless it is asked again."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from rows import Row, read, save

from lilliput.core.data import set_data_dir
from lilliput.core.progress import shown

__all__ = ["Case", "run_cases", "show"]


@dataclass(frozen=True)
class Case:
    """One file of one system, or one question.

    Args:
        name: Unique together with the system.
        rows: Makes and measures; may take long.
        system: `lilliput`, or a peer and its version.
    """

    name: str
    rows: Callable[[], list[Row]]
    system: str = "lilliput"


def run_cases(benchmark: str, about: str, cases: Callable[[], Iterable[Case]]) -> None:
    """The command line of a benchmark: which cases, and where the data is."""
    form = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=about, formatter_class=form)
    parser.add_argument("--data", default=os.environ.get("LILLIPUT_DATA"), type=Path)
    parser.add_argument("--case", action="append", default=[], help="a name or a pattern")
    parser.add_argument("--system", default="*", help="a system's name or a pattern")
    parser.add_argument("--again", action="store_true", help="also what has its rows already")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    arguments = parser.parse_args()
    if arguments.data is None:
        sys.exit("pass --data DIR: the folder that holds cifar10/, imagenet-samples/, ...")
    set_data_dir(arguments.data)
    done = {(row.case, row.system) for row in read(benchmark)}
    for case in cases():
        is_wanted = not arguments.case or any(fnmatchcase(case.name, p) for p in arguments.case)
        is_wanted = is_wanted and fnmatchcase(case.system, arguments.system)
        if arguments.list:
            print(case.name, "| done" if (case.name, case.system) in done else "")
        elif is_wanted and (arguments.again or (case.name, case.system) not in done):
            with shown():
                rows = case.rows()
            save(benchmark, rows)
            show(rows)


def show(rows: Iterable[Row]) -> None:
    """Prints one line a row."""
    for row in rows:
        where = f"{row.case:32} {row.system:24} {row.quantity:26}"
        spread = f" ({row.low:.5g} to {row.high:.5g})" if row.low is not None else ""
        print(f"{where} {row.value:12.5g} {row.unit}{spread}", flush=True)
