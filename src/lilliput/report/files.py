"""The family as CSV and JSON, for other programs."""

import csv
import io
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lilliput.core.disk import replacing
from lilliput.registry import Family, Variant
from lilliput.report.facts import is_original, parent_name, size_ratio, speed

__all__ = ["as_dict", "variant_dict", "write_csv", "write_json", "write_text"]

# quantity: name of the column, with its unit where the number is bare
_COLUMNS = {
    "metric": "metric",
    "drop": "drop",
    "test_metric": "test_metric",
    "test_drop": "test_drop",
    "size": "size_bytes",
    "latency": "latency_ms",
    "latency_ratio": "latency_ratio",
    "latency_ratio_eager": "latency_ratio_eager",
    "peak_ram": "peak_ram_bytes",
    "flash": "flash_bytes",
    "instructions": "instructions",
    "parity": "parity",
}


def variant_dict(family: Family, variant: Variant) -> dict[str, Any]:
    """Everything known of a variant, as JSON can hold it."""
    faster, faster_eager = speed(variant), speed(variant, "latency_ratio_eager")
    return {
        "id": variant.id,
        "name": variant.name,
        "target": variant.target,
        "is_original": is_original(family, variant),
        "parent": variant.parent,
        "created": str(variant.created),
        "seed": variant.seed,
        "path": str(variant.artifact.path),
        "format": variant.artifact.format,
        "sha256": variant.artifact.sha256,
        "times_smaller": size_ratio(family, variant),
        "times_faster": faster and faster.value,
        "times_faster_than_eager": faster_eager and faster_eager.value,
        "measurements": [asdict(measurement) for measurement in variant.measurements],
        "recipe": variant.recipe,
        "details": plain(dict(variant.details)),
    }


def as_dict(family: Family) -> dict[str, Any]:
    """The family as JSON can hold it."""
    return {
        "task": family.task,
        "metric": family.metric,
        "higher_is_better": family.higher_is_better,
        "notes": plain(dict(family.notes)),
        "variants": [variant_dict(family, variant) for variant in family.variants],
        "skipped": [asdict(skipped) for skipped in family.skipped],
    }


def plain(value: Any) -> Any:
    """Without what JSON has no word for: infinities and NaN become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | bool | None) else str(value)


def write_json(family: Family, path: Path) -> None:
    """Writes the whole family."""
    write_text(path, json.dumps(plain(as_dict(family)), indent=1) + "\n")


def write_csv(family: Family, path: Path) -> None:
    """Writes one row for each variant; bytes, milliseconds, the metric in its own unit."""
    rows = [_row(family, variant) for variant in family.variants]
    text = io.StringIO(newline="")
    fields = list(rows[0]) if rows else ["id", "name", "target"]
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _row(family: Family, variant: Variant) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": variant.id,
        "name": variant.name,
        "target": variant.target,
        "is_original": is_original(family, variant),
        "parent": parent_name(family, variant),
    }
    for quantity, column in _COLUMNS.items():
        found = variant.measurement(quantity)
        row[column] = None if found is None else found.value
        row[f"{column}_low"] = None if found is None else found.low
        row[f"{column}_high"] = None if found is None else found.high
    row["times_smaller"] = size_ratio(family, variant)
    faster = speed(variant)
    row["times_faster"] = None if faster is None else faster.value
    row["seed"] = variant.seed
    row["sha256"] = variant.artifact.sha256
    row["path"] = str(variant.artifact.path)
    row["recipe"] = variant.recipe
    return row


def write_text(path: Path, text: str) -> None:
    """Writes all or nothing: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")
