"""`lilliput report`: the run as one HTML file."""

from lilliput.cli.options import Json, Out, RunFolder
from lilliput.cli.output import answering

__all__ = ["report"]


def report(folder: RunFolder, out: Out = None, as_json: Json = False) -> None:
    """Write the run as one offline HTML file (default: DIR/report.html), with CSV and JSON."""
    with answering(as_json) as answer:
        from lilliput.cli.run_folder import open_run
        from lilliput.report import report as write

        path = write(open_run(folder), out or folder / "report.html")
        files = {"report": path, "csv": path.with_name("family.csv")}
        files["json"] = path.with_name("family.json")
        answer.give({name: str(file) for name, file in files.items()}, *map(str, files.values()))
