"""`lilliput show`: all that is known of one variant."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from lilliput.cli.options import Json, RunFolder
from lilliput.cli.output import answering

if TYPE_CHECKING:
    import lilliput.registry

__all__ = ["show"]


def show(
    folder: RunFolder,
    variant: Annotated[str, typer.Argument(metavar="VARIANT", help="A name, or how an id starts.")],
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", metavar="NAME", help="Where a name is not enough."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one variant: its measurements, recipe, lineage and layers."""
    with answering(as_json) as answer:
        from lilliput.cli.run_folder import find_variant, open_run
        from lilliput.cli.tables import measurements_table
        from lilliput.report import variant_dict
        from lilliput.report.facts import style_of

        family = open_run(folder)
        found = find_variant(family, variant, target)
        width = answer.console().width
        recipe = found.recipe.strip() or "no pass: the original"
        answer.give(
            variant_dict(family, found),
            f"{found.name} on {found.target}, id {found.id}",
            f"file: {found.artifact.path}",
            f"lineage: {' > '.join(_lineage(family, found))}",
            "",
            measurements_table(found.measurements, style_of(family), width),
            *_running(found),
            "",
            "recipe:",
            recipe,
            *_layers(found, width),
        )


def _lineage(family: "lilliput.registry.Family", variant: "lilliput.registry.Variant") -> list[str]:
    """Names from the original to the variant."""
    by_id = {other.id: other for other in family.variants}
    names = [variant.name]
    seen = {variant.id}
    while variant.parent in by_id and variant.parent not in seen:
        variant = by_id[variant.parent]
        seen.add(variant.id)
        names.append(variant.name)
    return names[::-1]


def _running(variant: "lilliput.registry.Variant") -> list[str]:
    """How wide weights are, and what the target does otherwise than asked for."""
    weights, notes = variant.details.get("weights"), variant.details.get("notes") or []
    lines = [f"weights: {weights}"] if weights else []
    lines += [f"note: {note}" for note in notes]
    return ["", *lines] if lines else []


def _layers(variant: "lilliput.registry.Variant", width: int) -> list[Any]:
    from lilliput.cli.layers import layers_table

    layers = variant.details.get("layers") or []
    return ["", "layers:", layers_table(layers, width)] if layers else []
