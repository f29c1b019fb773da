"""The open-ended part of the search: Optuna proposes points, the ladder's rungs are its seeds."""

from collections.abc import Callable, Sequence
from typing import Any

from lilliput.search.space import Point

__all__ = ["Objectives", "explore"]

Objectives = tuple[float, ...]


def explore(  # noqa: PLR0913, PLR0917
    evaluate: Callable[[Point], Objectives | None],
    seeds: Sequence[tuple[Point, Objectives]],
    proceed: Callable[[], bool],
    max_blocks: int,
    max_epochs: int,
    observer: str,
    seed: int,
) -> None:
    """Lets a multi-objective sampler choose points until `proceed` says no.

    Args:
        evaluate: Makes and measures a point; gives what to minimise, None where it failed or
            was not worth making.
        seeds: Points made already, with their objectives.
        proceed: Asked before each trial.
        max_blocks: Most blocks that may be removed.
        max_epochs: Longest training after pruning.
        observer: What sets the ranges of every point.
        seed: Of the sampler.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space: dict[str, optuna.distributions.BaseDistribution] = {
        "share": optuna.distributions.FloatDistribution(0.2, 1.0, step=0.05),
        "blocks": optuna.distributions.IntDistribution(0, max_blocks),
        "rank": optuna.distributions.FloatDistribution(0.5, 1.0, step=0.1),
        "epochs": optuna.distributions.IntDistribution(1, max_epochs, log=max_epochs > 1),
        "aware_epochs": optuna.distributions.IntDistribution(0, max(1, max_epochs // 4)),
    }
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=4)
    directions = [optuna.study.StudyDirection.MINIMIZE] * len(seeds[0][1])
    study = optuna.create_study(directions=directions, sampler=sampler)
    for point, values in seeds:
        params = {name: _clip(getattr(point, name), space[name]) for name in space}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=space, values=list(values))
        )
    while proceed():
        trial = study.ask(space)
        values_or_none = evaluate(_point(trial.params, observer))
        if values_or_none is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, list(values_or_none))


def _point(params: dict[str, Any], observer: str) -> Point:
    return Point(
        observer=observer,
        share=round(params["share"], 2),
        blocks=int(params["blocks"]),
        rank=round(params["rank"], 2),
        epochs=int(params["epochs"]),
        aware_epochs=int(params["aware_epochs"]),
    )


def _clip(value: int | float, distribution: Any) -> int | float:
    """The nearest value that the sampler could have chosen itself."""
    within = type(value)(min(max(value, distribution.low), distribution.high))
    step = distribution.step
    if isinstance(within, int) or step is None:
        return within
    return float(distribution.low + step * round((within - distribution.low) / step))
