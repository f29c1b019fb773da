"""Every error a caller may want to catch. All derive from `LilliputError`."""

__all__ = [
    "BudgetError",
    "ExportError",
    "LilliputError",
    "MeasureError",
    "MissingExtraError",
    "ModelFileError",
    "PackError",
    "PassError",
    "RecipeError",
    "RegistryError",
    "TaskError",
    "TraceError",
    "UnsupportedError",
]


class LilliputError(Exception):
    """Base class; each is made of one message."""

    def within(self, where: str) -> "LilliputError":
        """The same kind of error, its message preceded by where it happened."""
        return type(self)(f"{where}: {self}")


class PassError(LilliputError):
    """A pass failed, broke the model it was given, or stands where it cannot work."""


class TraceError(LilliputError):
    """`torch.export` cannot follow the network; the message names the line that stops it."""


class TaskError(LilliputError):
    """The data, loss or metric cannot be used as given."""


class UnsupportedError(LilliputError):
    """The model or target asks for something this code cannot do."""


class MissingExtraError(LilliputError):
    """A target needs an optional package; the message names the `pip install`."""


class ExportError(LilliputError):
    """A file could not be written, or does not say what the network says."""


class MeasureError(LilliputError):
    """A runtime crashed, ran out of time or answered nonsense while it was measured."""


class RegistryError(LilliputError):
    """A run folder cannot be read or written."""


class RecipeError(LilliputError):
    """A recipe's text names something that does not exist."""


class ModelFileError(LilliputError):
    """A model file of the command line lacks what it must define."""


class BudgetError(LilliputError):
    """No variant meets the budget; the message names the nearest and what it misses."""


class PackError(LilliputError):
    """A packed file is cut off, damaged, or larger than it may be; or cannot hold what is given."""
