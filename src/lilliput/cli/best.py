"""`lilliput best`: the variant to ship within a budget."""

import typer

from lilliput.cli.options import (
    Json,
    MaxDrop,
    MaxFlash,
    MaxInstructions,
    MaxLatency,
    MaxRam,
    MaxSize,
    RunFolder,
    Targets,
)
from lilliput.cli.output import answering, complain
from lilliput.cli.values import parse_share

__all__ = ["best"]


def best(  # noqa: PLR0913, PLR0917
    folder: RunFolder,
    target: Targets = None,
    max_drop: MaxDrop = None,
    max_size: MaxSize = None,
    max_latency: MaxLatency = None,
    max_ram: MaxRam = None,
    max_flash: MaxFlash = None,
    max_instructions: MaxInstructions = None,
    as_json: Json = False,
) -> None:
    """Name the best variant of each target that meets the limits."""
    limit = None if max_drop is None else parse_share(max_drop)
    with answering(as_json) as answer:
        from lilliput.cli.run_folder import check_targets, make_budget, open_run
        from lilliput.cli.tables import variants_table
        from lilliput.report import variant_dict
        from lilliput.report.facts import best_of

        family = open_run(folder)
        budget = make_budget(limit, max_size, max_latency, max_ram, max_flash, max_instructions)
        found, missed = [], []
        for name in check_targets(family, target or ()):
            variant, reason = best_of(family, name, budget)
            if variant is None:
                missed.append(f"{name}: {reason}")
            else:
                found.append(variant)
        if found:
            answer.give(
                [variant_dict(family, variant) for variant in found],
                variants_table(family, found, answer.console().width),
                *(str(variant.artifact.path) for variant in found),
            )
        for message in missed or ([] if found else [f"{folder} holds no variant yet"]):
            complain(message)
        if missed or not found:
            raise typer.Exit(1)
