"""Commands about devices: what a run will cost, and what it has sent."""

from typing import Annotated

import typer

from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.terminal.arguments import (
    BackendsOption,
    ExperimentFile,
    FitOption,
    JsonOption,
    ProposalOption,
    QueueOption,
    ReplaceOption,
    ResultFolder,
    SetOption,
    fit_seconds,
    load,
    options_of,
)
from qiskit_fedqml.terminal.json_files import check_overwrite, write_json
from qiskit_fedqml.terminal.output import print_table


def plan(
    file: ExperimentFile,
    backends: BackendsOption = None,
    set_: SetOption = None,
    queue_seconds: QueueOption = 0.0,
    fit: FitOption = None,
    proposal: ProposalOption = None,
    json_: JsonOption = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Say what an experiment will cost on devices: jobs, circuits, executions, QPU time, money.

    Nothing is sent. Ends with exit code 1 if a budget, or what the account has left, does not suffice. With --fit it
    proposes settings that take so much QPU time at most. With -v the tables have a row for each client and each round.
    """
    from qiskit_fedqml.terminal.plans import show_plan, show_proposals

    check_overwrite(overwrite, json_)
    seconds = fit_seconds(fit)
    if proposal is not None and seconds is None:
        raise ConfigurationError("--proposal goes with --fit SECONDS, which makes proposals.")
    experiment, options = load(file, backends, set_), [str(file), *options_of(backends, set_)]
    if seconds is None:
        command = ["fedqml", "plan", *options]
        suffices = show_plan(experiment, queue_seconds, json_, overwrite=overwrite, command=command)
    else:
        command = ["fedqml", "run", *options]
        suffices = show_proposals(experiment, seconds, command, json_, overwrite=overwrite, number=proposal)
    if not suffices:
        raise typer.Exit(1)


def jobs(
    directory: ResultFolder,
    cancel: Annotated[
        bool, typer.Option("--cancel", help="Cancel the jobs that may still wait or run on devices.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Ask the service for charges that were not known when the run ended.")
    ] = False,
    json_: JsonOption = None,
    overwrite: ReplaceOption = False,
) -> None:
    """Show the jobs that a run sent to devices, and what they cost: planned, and reported by the service."""
    from qiskit_fedqml.planning.jobs import job_note, job_rows, job_sentence, job_values
    from qiskit_fedqml.results.folder import RunFolder

    check_overwrite(overwrite, json_)
    if cancel and json_ is not None:
        raise ConfigurationError("--cancel says what became of each job as it is cancelled, and has no --json.")
    folder = RunFolder(directory)
    if cancel:
        from qiskit_fedqml.planning.settling import cancel_jobs

        for line in cancel_jobs(folder):
            print(line)
        return
    if update:
        from qiskit_fedqml.planning.settling import ask_for_charges

        ask_for_charges(folder)
    submissions = folder.submissions()
    if not write_json({"folder": str(directory), "jobs": job_values(submissions)}, json_, overwrite=overwrite):
        return
    if submissions:
        print_table(job_rows(submissions))
        print(job_note(submissions))
    print(job_sentence(submissions))
