"""The ladder with a workshop that makes files in no time: what is tried, and what is left out."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from lilliput.core import Artifact, Budget, ExportError, Measurement, Target, run
from lilliput.recipe import write
from lilliput.registry import Store, Variant
from lilliput.search import Ladder, Workshop
from lilliput.search.candidate import Candidate
from lilliput.search.plan import Clock
from lilliput.search.space import Space
from lilliput.search.workshop import fingerprint_of
from lilliput.targets import get_target
from lilliput.testing.nets import image_classifier

ORT, LITERT = get_target("onnxruntime-cpu"), get_target("litert-cpu")
DROPS = {"minmax": 0.03, "percentile": 0.01, "mse": 0.02, "entropy": 0.04}


class QuickWorkshop(Workshop):
    """Shapes networks but trains and measures none; a file holds a byte for each parameter."""

    refuses: tuple[str, ...] = ()

    def _make(self, candidate: Candidate, target: Target) -> Variant:
        if target.name in self.refuses:
            raise ExportError(f"{target.name} has no such operator")
        shape = [p for p in candidate.shared if getattr(p, "stage", "") != "train"]
        module = run(self.model, shape).module
        size = sum(p.numel() for p in module.parameters())
        path = self.folder / f"{candidate.name}-{target.name}"
        path.write_bytes(candidate.name.encode().ljust(size))
        drop = next((by for name, by in DROPS.items() if name in candidate.name), 0.0)
        numbers = {"metric": 0.9 - drop, "drop": drop, "size": float(size), "latency_ratio": 1.0}
        passes = (*candidate.shared, *candidate.finish(target))
        return self.store.add(
            key=self.key(candidate, target),
            name=candidate.name,
            target=target.name,
            artifact=Artifact.of(path, "onnx"),
            measurements=[Measurement(q, v, "1", "measured", "here") for q, v in numbers.items()],
            recipe=write(passes),
        )


def ladder(  # noqa: PLR0913, PLR0917
    folder: Path,
    budget: Budget | None = None,
    limit_s: float = 1e6,
    spent_s: float = 0.0,
    targets: tuple[Target, ...] = (ORT,),
    refuses: tuple[str, ...] = (),
) -> Ladder:
    model, task = image_classifier()
    workshop = QuickWorkshop(model, task, Store(folder), folder, fingerprint_of(model, model, task))
    workshop.refuses = refuses
    budget = budget or Budget()
    counts = "macs" if budget.max_size_bytes is None else "bytes"
    space = Space(model, task, model, is_classifier=True, counts=counts)
    clock = Clock(limit_s, spent_s)
    lines: list[str] = []
    return Ladder(workshop, targets, budget, space, clock, lines.append, max_epochs=2, trials=1)


def names(climbed: Ladder) -> list[str]:
    return [variant.name for variant in climbed.workshop.store.family()]


def test_a_target_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    both = ladder(tmp_path, targets=(LITERT, ORT), refuses=("litert-cpu",))
    both.climb()
    family = both.workshop.store.family()
    assert {variant.target for variant in family} == {"onnxruntime-cpu"}
    assert [(s.name, s.target) for s in family.skipped if s.name == "original"] == [
        ("original", "litert-cpu")
    ]


def test_where_all_targets_fail_the_first_one_says_why(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="litert-cpu has no such operator"):
        ladder(tmp_path, targets=(LITERT,), refuses=("litert-cpu",)).climb()


def test_what_is_trained_has_the_best_observer(tmp_path: Path) -> None:
    climbed = ladder(tmp_path)
    climbed.climb()
    trained = [v for v in climbed.workshop.store.family() if "Distill" in v.recipe]
    assert trained
    assert all('"Percentile"' in variant.recipe for variant in trained)


def test_a_limit_on_size_is_aimed_at(tmp_path: Path) -> None:
    model, _ = image_classifier()
    whole = sum(p.numel() for p in model.module.parameters())
    limit = 0.8 * whole
    climbed = ladder(tmp_path, Budget(max_size_bytes=limit))
    climbed.climb()
    aimed = next(v for v in climbed.workshop.store.family() if v.name.startswith("bytes"))
    size = aimed.value("size")
    assert size is not None
    assert 0.5 * limit < size <= limit


def test_a_resumed_run_lists_nothing_as_skipped_that_it_has(tmp_path: Path) -> None:
    ladder(tmp_path).climb()
    again = ladder(tmp_path, limit_s=10, spent_s=20)
    made = names(again)
    again.climb()
    assert names(again) == made
    assert not set(made) & {skipped.name for skipped in again.workshop.store.family().skipped}


def test_a_longer_budget_makes_what_a_short_one_left_out(tmp_path: Path) -> None:
    short = ladder(tmp_path, limit_s=1e-3)
    short.climb()
    assert names(short) == ["original", "int8-minmax"]
    assert "int8-mse" in {skipped.name for skipped in short.workshop.store.family().skipped}
    long = ladder(tmp_path)
    long.climb()
    assert "int8-mse" in names(long)
    assert any("qat" in name for name in names(long))
    skipped = {skipped.name for skipped in long.workshop.store.family().skipped}
    assert not skipped & set(names(long))


def test_other_rules_and_seeds_are_other_work(tmp_path: Path) -> None:
    model, task = image_classifier()
    store = Store(tmp_path)
    workshop = QuickWorkshop(model, task, store, tmp_path, fingerprint_of(model, model, task))
    reseeded = dataclasses.replace(workshop, seed=1)
    assert ORT.rules is not None
    rules = dataclasses.replace(ORT.rules, quantizes_outputs=True)
    other = dataclasses.replace(ORT, rules=rules)
    candidate = Candidate("original")
    keys = {
        workshop.key(candidate, ORT),
        workshop.key(candidate, other),
        reseeded.key(candidate, ORT),
    }
    assert len(keys) == 3


def test_a_teacher_and_a_loss_are_part_of_a_run() -> None:
    model, task = image_classifier()
    teacher = dataclasses.replace(model, module=image_classifier()[0].module.train())
    for parameter in teacher.module.parameters():
        parameter.data += 1
    other_loss = dataclasses.replace(task, loss=lambda outputs, labels: outputs.sum())
    digests = {
        fingerprint_of(model, model, task),
        fingerprint_of(model, teacher, task),
        fingerprint_of(model, model, other_loss),
    }
    assert len(digests) == 3
    assert all(len(digest) == len(hashlib.sha256().hexdigest()) for digest in digests)


def test_four_bits_go_only_where_files_hold_them(tmp_path: Path) -> None:
    both = ladder(tmp_path, targets=(ORT, LITERT))
    both.climb()
    family = both.workshop.store.family()
    four = [variant for variant in family if variant.name.startswith("w4a8")]
    assert [variant.target for variant in four] == ["onnxruntime-cpu"]
    assert "RoundSecondOrder" in four[0].recipe
    skipped = {s.name: s.reason for s in family.skipped if s.target == "litert-cpu"}
    assert skipped[four[0].name] == "its files hold weights of [8] bits"
