import pytest

from lilliput.core import Target, UnsupportedError
from lilliput.targets import get_target, target_names


@pytest.mark.parametrize("name", target_names())
def test_every_target_is_complete(name: str) -> None:
    target = get_target(name)
    assert isinstance(target, Target)
    assert target.rules is not None
    assert not target.rules.quantized_operators & target.rules.shared_scale_operators
    assert {"weight", "activation", "channel_multiple"} <= set(target.sources)
    assert all(target.sources.values())


def test_onnxruntime_wants_unsigned_and_litert_signed_activations() -> None:
    assert not get_target("onnxruntime-cpu").rules.activation.is_signed
    assert get_target("litert-cpu").rules.activation.is_signed


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnsupportedError, match=r"'litert-cpus'.*did you mean 'litert-cpu'"):
        get_target("litert-cpus")
    with pytest.raises(UnsupportedError, match=r"known: .*onnxruntime-cpu"):
        get_target("toaster")


def test_a_target_that_is_like_another_has_its_facts() -> None:
    chip, host = get_target("cortex-m4"), get_target("host-c")
    assert (chip.rules, chip.format, chip.sources) == (host.rules, host.format, host.sources)
    assert chip.is_chip
