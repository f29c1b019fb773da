import pytest

from lilliput.pack.native import simd_flags


@pytest.mark.parametrize(
    ("machine", "says", "flags"),
    [
        ("x86_64", "flags : fpu sse4_1 avx avx2 bmi2", ("-mavx2",)),
        ("x86_64", "flags : fpu sse4_1 avx", ("-msse4.1",)),
        ("AMD64", None, ("-msse4.1",)),
        ("aarch64", "Features : fp asimd", ()),
    ],
)
def test_the_coder_is_compiled_for_the_processor_it_runs_on(tmp_path, machine, says, flags):
    cpuinfo = tmp_path / "cpuinfo"
    if says is not None:
        cpuinfo.write_text(says)
    assert simd_flags(machine, cpuinfo) == flags
