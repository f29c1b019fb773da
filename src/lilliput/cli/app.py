"""The `lilliput` command: its verbs, and how errors end it."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lilliput.cli import (
    best,
    c,
    compare,
    compress,
    delta,
    diagnose,
    export,
    inspect,
    list as list_,
    measure,
    pack,
    report,
    show,
    unpack,
)
from lilliput.cli.output import complain

__all__ = ["app", "main"]


class Verbs(TyperGroup):
    """Turns errors into one line and an exit code; `--debug` may stand anywhere."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--debug" in args:
            args = ["--debug", *(arg for arg in args if arg != "--debug")]
        return list(super().parse_args(ctx, args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            complain("stopped; what was written is kept")
            raise typer.Exit(130) from None
        except Exception as error:
            if ctx.params.get("debug") or not _is_reportable(error):
                raise
            complain(_in_one_line(error))
            raise typer.Exit(1) from None


def _is_reportable(error: Exception) -> bool:
    """Not one that Typer ends the program with, such as a closed pipe (`lilliput list | head`)."""
    is_typers = isinstance(error, typer.Exit | typer.Abort | BrokenPipeError)
    return not is_typers and not hasattr(error, "exit_code")


def _in_one_line(error: Exception) -> str:
    # an error of ours can only have been raised once its module is loaded; loading it costs seconds
    errors = sys.modules.get("lilliput.core.errors")
    text = " ".join(str(error).split())
    if isinstance(error, OSError) or (errors and isinstance(error, errors.LilliputError)):
        return text
    return f"unexpected {type(error).__name__}: {text} (add --debug to see where)"


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("inspect")(inspect.inspect)
app.command("compress")(compress.compress)
app.command("compare")(compare.compare)
app.command("diagnose")(diagnose.diagnose)
app.command("list")(list_.list_)
app.command("show")(show.show)
app.command("best")(best.best)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("measure")(measure.measure)
app.command("c")(c.c)
app.command("pack")(pack.pack)
app.command("unpack")(unpack.unpack)
app.command("delta")(delta.delta)


def _print_version(is_wanted: bool) -> bool:
    if is_wanted:
        from lilliput import __version__

        typer.echo(__version__)
        raise typer.Exit
    return is_wanted


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


@app.callback()
def _lilliput(version: Version = False, debug: Debug = False) -> None:
    """Makes neural networks small, and proves it on the file that ships."""


def main() -> None:
    """Runs the command line."""
    app(prog_name="lilliput")
