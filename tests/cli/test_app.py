"""The command line starts fast, and ends with a line and a code that say what happened."""

import resource
import subprocess
import sys

import pytest

VERBS = (
    "inspect",
    "compress",
    "compare",
    "list",
    "show",
    "best",
    "report",
    "export",
    "measure",
    "pack",
)


def python(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


def test_help_needs_no_torch_and_half_a_second():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = python(
        "import sys; sys.argv = ['lilliput', '--help']\n"
        "from lilliput.cli import main\n"
        "try: main()\n"
        "finally: sys.stderr.write(' '.join(m for m in ('torch', 'numpy') if m in sys.modules))"
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0
    assert done.stderr == ""
    assert all(verb in done.stdout for verb in VERBS)
    # time of the processor, which does not depend on what else the machine does
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_and_json(verb, lilliput):
    called = lilliput(verb, "--help")
    assert called.code == 0
    assert "--json" in called.out


@pytest.mark.parametrize("verb", ["compress", "report", "export"])
def test_o_and_out_are_one_option(verb, lilliput):
    text = lilliput(verb, "--help").out
    lines = [line.split() for line in text.splitlines() if "--out" in line]
    assert any("-o" in words for words in lines)


def test_usage_errors_end_with_2(lilliput):
    assert lilliput("nonsense").code == 2
    assert lilliput("list").code == 2
    called = lilliput("best", "x", "--max-size", "big")
    assert called.code == 2
    assert "'big'" in called.err


def test_our_errors_are_one_line_and_1(lilliput, tmp_path):
    called = lilliput("list", tmp_path / "nowhere")
    assert called.code == 1
    assert called.out == ""
    assert called.err.startswith("error: there is no folder")
    assert len(called.err.splitlines()) == 1


def test_debug_anywhere_lets_the_error_through(lilliput, tmp_path):
    for arguments in (["--debug", "list"], ["list", "--debug"]):
        called = lilliput(*arguments, tmp_path / "nowhere")
        assert "no folder" in str(called.exception)


def test_an_unforeseen_error_is_one_line_too(lilliput, run_folder, monkeypatch):
    def broken(_):
        raise KeyError("oops")

    monkeypatch.setattr("lilliput.cli.run_folder.open_run", broken)
    called = lilliput("list", run_folder)
    assert called.code == 1
    assert called.err == "error: unexpected KeyError: 'oops' (add --debug to see where)\n"


def test_ctrl_c_ends_with_130(lilliput, run_folder, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("lilliput.cli.run_folder.open_run", interrupted)
    called = lilliput("list", run_folder)
    assert called.code == 130
    assert "kept" in called.err


def test_version(lilliput):
    assert lilliput("--version").out.count(".") == 2
