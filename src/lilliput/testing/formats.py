"""What every file format must satisfy. Subclass `FormatContract` in a format's test file."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from lilliput.core import ExportError, Model
from lilliput.export import Format, Predictor
from lilliput.testing.nets import TINY_TASKS, learned

__all__ = ["FormatContract"]


class FormatContract:
    """Subclasses give a `format_` fixture.

    Every test runs on each of the `tasks`, names in `TINY_TASKS`, as float networks. `tolerance`
    is the largest difference from the network, as a share of the largest output.
    """

    tasks: ClassVar[tuple[str, ...]] = tuple(TINY_TASKS)
    tolerance: ClassVar[float] = 1e-5

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "tiny" in metafunc.fixturenames:
            metafunc.parametrize("tiny", self.tasks, scope="class")

    @pytest.fixture
    def format_(self) -> Format:
        raise NotImplementedError("a subclass of FormatContract needs a `format_` fixture")

    @pytest.fixture(scope="class")
    def model(self, tiny: str) -> Model:
        model, task = TINY_TASKS[tiny]()
        return learned(model, task, epochs=2)

    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Path:
        return tmp_path_factory.mktemp(tiny)

    @pytest.fixture
    def path(self, format_: Format, model: Model, folder: Path) -> Path:
        """The file, written once for all tests of a task."""
        path = folder / f"model{format_.suffix}"
        if not path.exists():
            format_.write(model, path, None)
        return path

    @pytest.fixture
    def predictor(self, format_: Format, path: Path) -> Predictor:
        return format_.load(path, 1)

    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_agrees_with_the_network(
        self, predictor: Predictor, model: Model, tiny: str, count: int
    ) -> None:
        inputs = _other_inputs(tiny, count)
        expected = _outputs(model, inputs)
        outputs = predictor(tuple(x.numpy() for x in inputs))
        assert len(outputs) == len(expected)
        for output, reference in zip(outputs, expected, strict=True):
            assert output.shape == reference.shape
            error = np.abs(output - reference).max() / np.abs(reference).max()
            assert error <= self.tolerance

    def test_each_example_is_computed_by_itself(self, predictor: Predictor, tiny: str) -> None:
        inputs = tuple(x.numpy() for x in _other_inputs(tiny, 3))
        together = predictor(inputs)
        for index in range(3):
            alone = predictor(tuple(x[index : index + 1] for x in inputs))
            for one, all_ in zip(alone, together, strict=True):
                np.testing.assert_allclose(one[0], all_[index], rtol=1e-4, atol=1e-5)

    def test_states_what_goes_in_and_out(
        self, predictor: Predictor, model: Model, tiny: str
    ) -> None:
        inputs = tuple(x.numpy() for x in _other_inputs(tiny, 2))
        outputs = predictor(inputs)
        for specs, arrays in ((predictor.inputs, inputs), (predictor.outputs, outputs)):
            assert [spec.shape[1:] for spec in specs] == [array.shape[1:] for array in arrays]
            assert [spec.dtype for spec in specs] == [str(array.dtype) for array in arrays]
            names = [spec.name for spec in specs]
            assert all(names)
            assert len(set(names)) == len(names)
        assert len(predictor.inputs) == len(model.example_inputs)

    def test_leaves_the_network_alone(self, format_: Format, model: Model, tmp_path: Path) -> None:
        before = {name: value.clone() for name, value in model.module.state_dict().items()}
        format_.write(model, tmp_path / f"again{format_.suffix}", None)
        after = model.module.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())

    @pytest.mark.parametrize("damage", ["empty", "noise", "text", "half", "missing"])
    def test_a_damaged_file_is_refused_by_name(
        self, format_: Format, path: Path, tmp_path: Path, damage: str
    ) -> None:
        whole = path.read_bytes()
        damaged = tmp_path / f"damaged{format_.suffix}"
        content = {
            "empty": b"",
            "noise": np.random.default_rng(0).bytes(len(whole)),
            "text": b"<html>404 not found</html>",
            "half": whole[: len(whole) // 2],
        }
        if damage in content:
            damaged.write_bytes(content[damage])
        with pytest.raises(ExportError, match="damaged"):
            format_.load(damaged, 1)


def _other_inputs(tiny: str, count: int) -> tuple[Tensor, ...]:
    """Examples the network was not exported with."""
    inputs, _ = next(TINY_TASKS[tiny]()[1].batches("test"))
    return tuple(x[:count] for x in inputs)


@torch.no_grad()
def _outputs(model: Model, inputs: tuple[Tensor, ...]) -> list[Any]:
    return [leaf.numpy() for leaf in tree_leaves(model.module.eval()(*inputs))]
