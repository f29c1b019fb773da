from typing import ClassVar

import pytest

from lilliput.export import Format
from lilliput.export.litert import Litert
from lilliput.testing import FormatContract


class TestLitert(FormatContract):
    tasks: ClassVar[tuple[str, ...]] = ("two_output_regressor",)

    @pytest.fixture
    def format_(self) -> Format:
        return Litert()


@pytest.mark.slow
class TestLitertOnTheOthers(TestLitert):
    tasks: ClassVar[tuple[str, ...]] = (
        "image_classifier",
        "image_to_image",
        "two_input_transformer",
    )
