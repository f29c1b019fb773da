"""The command line, one file for each verb. Nothing heavy is imported until a verb runs."""

from lilliput.cli.app import app, main

__all__ = ["app", "main"]
