"""The nouns every other room speaks. Imports nothing else from `lilliput`."""

from lilliput.core.accuracy import Accuracy
from lilliput.core.artifact import Artifact
from lilliput.core.budget import Budget
from lilliput.core.check import check_task
from lilliput.core.errors import (
    BudgetError,
    ExportError,
    LilliputError,
    MeasureError,
    MissingExtraError,
    ModelFileError,
    PackError,
    PassError,
    RecipeError,
    RegistryError,
    TaskError,
    TraceError,
    UnsupportedError,
)
from lilliput.core.hooks import TrainingHook
from lilliput.core.integer import Granularity, IntegerType, PerChannel, PerGroup, PerTensor
from lilliput.core.kernel import Kernel, Note, Scheme
from lilliput.core.measurement import Measurement, Method
from lilliput.core.model import Model, Step
from lilliput.core.passes import Pass, Stage, check_order, run
from lilliput.core.target import QuantizationRules, Target
from lilliput.core.task import Metric, Split, Task

__all__ = [
    "Accuracy",
    "Artifact",
    "Budget",
    "BudgetError",
    "ExportError",
    "Granularity",
    "IntegerType",
    "Kernel",
    "LilliputError",
    "MeasureError",
    "Measurement",
    "Method",
    "Metric",
    "MissingExtraError",
    "Model",
    "ModelFileError",
    "Note",
    "PackError",
    "Pass",
    "PassError",
    "PerChannel",
    "PerGroup",
    "PerTensor",
    "QuantizationRules",
    "RecipeError",
    "RegistryError",
    "Scheme",
    "Split",
    "Stage",
    "Step",
    "Target",
    "Task",
    "TaskError",
    "TraceError",
    "TrainingHook",
    "UnsupportedError",
    "check_order",
    "check_task",
    "run",
]
