import pytest

from lilliput.export import Format
from lilliput.export.onnx import Onnx
from lilliput.testing import FormatContract


class TestOnnx(FormatContract):
    @pytest.fixture
    def format_(self) -> Format:
        return Onnx()
