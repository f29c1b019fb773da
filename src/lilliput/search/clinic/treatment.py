"""How a network is quantized so far: what each remedy changes a part of."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lilliput.core import Pass, QuantizationRules, Target, Task
from lilliput.quantize import Precision, QuantizeAware, QuantizeStatic
from lilliput.search.candidate import Candidate
from lilliput.search.space import OBSERVERS

__all__ = ["Treatment"]


@dataclass(frozen=True, eq=False)
class Treatment:
    """A recipe in parts.

    Args:
        task: Calibrated and trained on.
        bits: Of weights in the file.
        observer: What sets the ranges, a key of `OBSERVERS`.
        before: Passes that come before quantizers are in.
        rounding: Passes that choose how weights are rounded.
        correction: Passes that correct then what quantizers did to means.
        training: Passes that train with the quantizers in. Then nothing is corrected or rounded:
            trained weights make up for their own rounding.
        raised: Bits of the layers that have others.
        floats: Layers that stay float.
        words: What else is in it, for the name.
    """

    task: Task
    bits: int = 8
    observer: str = "minmax"
    before: tuple[Pass, ...] = ()
    rounding: tuple[Pass, ...] = ()
    correction: tuple[Pass, ...] = ()
    training: tuple[Pass, ...] = ()
    raised: Mapping[str, int] = field(default_factory=dict)
    floats: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tables call the variant."""
        kind = "int8" if self.bits == 8 else f"w{self.bits}a8"
        return "-".join((kind, self.observer, *self.words))

    def called(self, word: str) -> "Treatment":
        """The same with a word more in its name, in place of another of its kind: `float4`."""
        kind = word.rstrip("0123456789")
        kept = tuple(w for w in self.words if w.rstrip("0123456789") != kind)
        return replace(self, words=(*kept, word))

    def passes(self, rules: QuantizationRules) -> tuple[Pass, ...]:
        """The recipe for a runtime."""
        usual = {"*": self.bits} if self.bits != 8 else {}
        precision = Precision({**usual, **self.raised}, floats=self.floats)
        observer = OBSERVERS[self.observer]
        if self.training:
            aware = QuantizeAware(rules, self.task, observer=observer, precision=precision)
            return (*self.before, aware, *self.training)
        static = QuantizeStatic(rules, self.task, observer=observer, precision=precision)
        return (*self.before, static, *self.rounding, *self.correction)

    def candidate(self, parent: str = "") -> Candidate:
        """The same as the search makes it.

        Args:
            parent: Name of the variant that this one goes on from.
        """

        def finish(target: Target) -> tuple[Pass, ...]:
            return () if target.rules is None else self.passes(target.rules)

        return Candidate(self.name, finish=finish, parent=parent)
