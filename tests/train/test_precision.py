import pytest
import torch

from lilliput.train.precision import autocast, resolve


@pytest.mark.parametrize(
    ("abilities", "expected"),
    [
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"amx_bf16": True}, "bf16-mixed"),
        ({"avx512_f": True, "avx512_bf16": False}, "32-true"),
        ({}, "32-true"),
    ],
)
def test_auto_is_bf16_where_the_cpu_multiplies_it(monkeypatch, abilities, expected) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert resolve("auto", "cpu") == expected


def test_auto_asks_the_gpu_without_emulation(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: asked.append(1) or True
    )
    assert resolve("auto", "cuda") == "bf16-mixed"
    assert asked
    assert resolve("auto", "mps") == "32-true"


def test_what_is_asked_for_is_given() -> None:
    assert resolve("32-true", "cpu") == "32-true"
    assert resolve("bf16-mixed", "cpu") == "bf16-mixed"


def test_autocast_computes_in_bf16_or_not() -> None:
    x = torch.ones(2, 2)
    with autocast("bf16-mixed", "cpu"):
        assert (x @ x).dtype == torch.bfloat16
    with autocast("32-true", "cpu"):
        assert (x @ x).dtype == torch.float32
