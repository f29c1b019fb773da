"""Lowering takes seconds a file, so most of this is slow; one small net is not."""

import pytest

from lilliput.export import Format
from lilliput.export.executorch.format import ExecuTorch
from lilliput.testing import FormatContract

pytest.importorskip("executorch")


@pytest.mark.slow
class TestExecuTorch(FormatContract):
    @pytest.fixture
    def format_(self) -> Format:
        return ExecuTorch()
