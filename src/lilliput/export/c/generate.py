"""From an int8 `.tflite` file to C."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lilliput.core import UnsupportedError
from lilliput.core.amounts import bytes_text
from lilliput.export.c.dead import without_dead_channels
from lilliput.export.c.emit import emit_header, emit_source
from lilliput.export.c.largest import largest_of, with_largest
from lilliput.export.c.lower.lower import lower
from lilliput.export.c.lower.step import Program
from lilliput.export.c.network import Network
from lilliput.export.c.packing import Packing
from lilliput.export.c.padding import with_padding_inside
from lilliput.export.c.plan import Plan
from lilliput.export.c.read import read_network
from lilliput.export.c.reference import reference_answers
from lilliput.export.c.schedule import Schedule, schedule
from lilliput.export.c.self_test import emit_self_test
from lilliput.export.format import Array, write_bytes

__all__ = ["Generated", "generate"]


_TRIES = 20
"""How often inputs are drawn until one has a single largest score."""


@dataclass(frozen=True, eq=False)
class Generated:
    """A network as C.

    Args:
        schedule: The kernel calls, and where tensors lie.
        path: The file it comes from.
        of_scores: The network that gives scores, where the program gives the largest's place.
    """

    schedule: Schedule
    path: Path
    of_scores: Network | None = None

    @property
    def program(self) -> Program:
        """The kernel calls."""
        return self.schedule.program

    @property
    def plan(self) -> Plan:
        """Where tensors lie."""
        return self.schedule.plan

    @property
    def header(self) -> str:
        """The text of `model.h`."""
        return emit_header(self.program, self.plan, self.path.name)

    @property
    def source(self) -> str:
        """The text of `model.c`."""
        return emit_source(self.program, self.plan, self.path.name)

    @property
    def constant_bytes(self) -> int:
        """Weights, biases, multipliers and tables; equal arrays count once."""
        return self.program.constant_bytes

    @property
    def macs(self) -> int:
        """Multiplications for one run."""
        return self.program.macs

    @property
    def packed_layers(self) -> int:
        """How many layers unpack their weights as they run."""
        steps = self.program.steps
        return len({step.layer for step in steps if "weights.code_bits" in step.settings})

    @property
    def peak(self) -> str:
        """The operator at which most bytes are needed at once."""
        steps = self.program.steps
        return str(steps[self.plan.peak].operator) if steps else "no operator"

    @property
    def heaviest(self) -> str:
        """The operator with most constants."""
        steps = self.program.steps
        largest = max(steps, key=lambda s: sum(a.nbytes for a in s.arrays.values()), default=None)
        return str(largest.operator) if largest else "no operator"

    def write(self, folder: Path, vectors: int = 3, seed: int = 0) -> list[Path]:
        """Writes `model.h`, `model.c` and `test_model.c`, each whole or not at all.

        Args:
            folder: Made if it is not there.
            vectors: Random inputs that the self-test has answers for, from LiteRT's reference
                kernels; 0 for no self-test. Those with two largest scores are left out where the
                largest is told.
            seed: Of these inputs.

        Raises:
            ExportError: A file cannot be written.
            UnsupportedError: No input was found that tells a class for certain.
        """
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"model.h": self.header, "model.c": self.source}
        (folder / "test_model.c").unlink(missing_ok=True)  # of another network, perhaps
        if vectors:
            given, answers = self._vectors(vectors, np.random.default_rng(seed))
            texts["test_model.c"] = emit_self_test(self.program.network, given, answers)
        for name, text in texts.items():
            write_bytes(folder / name, text.encode())
        return [folder / name for name in texts]

    def _vectors(
        self, count: int, rng: np.random.Generator, tries: int = _TRIES
    ) -> tuple[list[Array], list[Array]]:
        """Inputs drawn at random, and what LiteRT answers."""
        network = self.program.network
        shapes = [(count, *network.tensors[index].shape) for index in network.inputs]
        given = [rng.integers(-128, 128, shape, dtype=np.int8) for shape in shapes]
        answers = reference_answers(self.path, self.of_scores or network, given)
        if self.of_scores is None:
            return given, answers
        found = [largest_of(scores) for scores in answers]
        # a softmax may make equal scores of what was not
        clear = np.all([only.reshape(count, -1).all(1) for _, only in found], axis=0)
        if not clear.any() and tries > 1:
            return self._vectors(count, rng, tries - 1)
        if not clear.any():
            raise UnsupportedError(
                f"of {count * _TRIES} inputs drawn at random none has one largest score, so the "
                "class cannot be tested; give scores, or no vectors"
            )
        return [x[clear] for x in given], [places[clear] for places, _ in found]


def generate(  # noqa: PLR0913
    path: Path,
    max_ram_bytes: float | None = None,
    max_flash_bytes: float | None = None,
    *,
    gives_largest: bool = False,
    packs_weights: bool = False,
    is_strict: bool = True,
) -> Generated:
    """Self-contained C99 that computes what the file says, bit for bit.

    Weights that fit few bits, are few values or mostly zero can be packed; they are where constants
    take more bytes than are allowed, those first that save most.

    Args:
        path: An int8 `.tflite` file, anybody's.
        max_ram_bytes: Most bytes for the arena. Where whole maps take more, rows stream through
            layers, which takes more instructions and code.
        max_flash_bytes: Most bytes for constants; code comes on top, 3 to 6 kB on a Cortex-M4.
        gives_largest: Give the place of each row's largest score instead of the scores.
        packs_weights: Pack all weights that save a quarter of their layer's bytes: less flash for
            more instructions, and for room to unpack.
        is_strict: Refuse what does not keep to the limits, instead of coming as near as it gets.

    Raises:
        MissingExtraError: The package that knows the schema is not installed.
        ExportError: The file is missing, cut off or damaged, or no LiteRT file.
        UnsupportedError: The network is not int8 throughout, has an operator that no kernel does,
            or needs a larger arena or more constants.
    """
    network = read_network(path)
    lower(network)  # refuses sizes that do not fit one another
    alive = without_dead_channels(with_padding_inside(network))
    lowered = lower(with_largest(alive) if gives_largest else alive)
    packing = Packing(packs_weights, max_flash_bytes)
    found = schedule(lowered, max_ram_bytes, packing)
    made = Generated(found, path, network if gives_largest else None)
    if is_strict:
        _check(made, max_ram_bytes, max_flash_bytes)
    return made


def _check(made: Generated, max_ram_bytes: float | None, max_flash_bytes: float | None) -> None:
    """Raises UnsupportedError for what takes more, and says where."""
    if max_ram_bytes is not None and made.plan.size > max_ram_bytes:
        streaming = ", though rows stream through layers" if made.schedule.stream else ""
        raise UnsupportedError(
            f"the arena takes {made.plan.size:,} bytes{streaming}, and {max_ram_bytes:,.0f} are "
            f"allowed; {made.peak} needs {bytes_text(made.plan.bound)} at once: fewer channels or "
            "a smaller map there, or a smaller input, would lower it"
        )
    if max_flash_bytes is not None and made.constant_bytes > max_flash_bytes:
        raise UnsupportedError(
            f"constants take {made.constant_bytes:,} bytes, without any code, and "
            f"{max_flash_bytes:,.0f} are allowed; most are of {made.heaviest}: fewer channels "
            "there, pruning them by masks, which leave the network here, or weights of four bits "
            "or mostly zero, which are packed here, would lower it"
        )
