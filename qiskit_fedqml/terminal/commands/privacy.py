"""The command about privacy: what an experiment spends of it."""

import math
from typing import Annotated

import typer

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import BackendsOption, ExperimentFile, JsonOption, ReplaceOption, SetOption, load
from qiskit_fedqml.terminal.json_files import check_overwrite


def privacy(
    file: ExperimentFile,
    backends: BackendsOption = None,
    set_: SetOption = None,
    epsilon: Annotated[
        float | None,
        typer.Option("--epsilon", metavar="E", help="Find the noise with which all rounds spend at most this ε."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", metavar="N", min=1, max=1_000_000, help="Another number of rounds."),
    ] = None,
    json_: JsonOption = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Say what an experiment spends of its privacy, and find the noise for a wanted ε.

    Clients are drawn as in a run, and nothing is trained.
    """
    from qiskit_fedqml.terminal.privacy_plans import show_privacy

    check_overwrite(overwrite, json_)
    if epsilon is not None and not (math.isfinite(epsilon) and epsilon > 0):
        raise ConfigurationError(f"--epsilon must be a number above 0, but got {epsilon:g}.")
    experiment = load(file, backends, set_)
    if rounds is not None:
        experiment = experiment.with_rounds(rounds)
    show_privacy(experiment, epsilon, json_, overwrite=overwrite)
