"""`lilliput list`: the variants of a run."""

from lilliput.cli.options import Json, RunFolder
from lilliput.cli.output import answering

__all__ = ["list_"]


def list_(folder: RunFolder, as_json: Json = False) -> None:
    """List the variants of a run, and what was skipped."""
    with answering(as_json) as answer:
        from lilliput.cli.run_folder import open_run
        from lilliput.cli.tables import variants_table
        from lilliput.report import as_dict
        from lilliput.report.facts import front_cost, targets_of

        family = open_run(folder)
        console = answer.console()
        costs = " or ".join(sorted({front_cost(family, target) for target in targets_of(family)}))
        skipped = [f"skipped {s.name} on {s.target}: {s.reason}" for s in family.skipped]
        answer.give(
            as_dict(family),
            variants_table(family, family.variants, console.width),
            f"* on the front of metric against {costs}" if family.variants else "no variant yet",
            *skipped,
        )
