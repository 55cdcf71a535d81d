"""What `fedqml resume` prints about how it continues a run."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from qiskit_fedqml.errors import AccountLimitError, BackendError, BudgetError, ResultError
from qiskit_fedqml.terminal.arguments import name_of
from qiskit_fedqml.terminal.program import code_of
from qiskit_fedqml.terminal.stopping import exit_code
from qiskit_fedqml.terminal.verbosity import is_quiet

if TYPE_CHECKING:
    from qiskit_fedqml.results.result import RunResult

_BUDGET = " --budget [NAME=]SECONDS"


@contextmanager
def resumable(folder: Path, then: Callable[[bool], str] = lambda has_begun: "") -> Iterator[None]:
    """Let Ctrl-C, and what a later try may mend, end with how to resume, if there is a run in the folder.

    Args:
        folder: The result folder.
        then: Says what comes after that; it is given whether there is a run to resume.
    """
    before = _age_of(folder)
    try:
        yield
    except KeyboardInterrupt:
        how = _how_to_resume(folder, before)
        _tell("stopped", how, then(bool(how)))
        raise typer.Exit(exit_code()) from None
    except (BackendError, BudgetError) as error:
        is_budget_of_run = isinstance(error, BudgetError) and not isinstance(error, AccountLimitError)
        how = _how_to_resume(folder, before, _BUDGET if is_budget_of_run else "")
        end = _how_to_end(folder) if how and isinstance(error, BudgetError) else ""
        _tell(str(error), how, end, then(bool(how)))
        raise typer.Exit(code_of(error)) from None


def rounds_if_finished(folder: Path) -> int | None:
    """Return how many rounds a finished run has; None of any other folder."""
    from qiskit_fedqml.results.folder import RunFolder
    from qiskit_fedqml.results.record_log import num_lines

    try:
        return num_lines(folder / "rounds.jsonl") if RunFolder(folder).is_finished else None
    except ResultError:  # whoever reads it next says what is wrong
        return None


def tell_continues(folder: Path) -> None:
    """Say after which round a run continues; nothing of a finished run, of one without rounds, or if it cannot be read.

    Args:
        folder: The result folder.
    """
    from qiskit_fedqml.results.folder import RunFolder

    try:
        found = RunFolder(folder)
        if is_quiet() or found.is_finished:
            return
        experiment, _, records = found.read()
    except ResultError:  # whoever reads it next says what is wrong
        return
    if len(records):
        rounds = f"after round {len(records)} of {experiment.federation.rounds}"
        print(f"{name_of(folder)}: continues {rounds}", file=sys.stderr, flush=True)


def print_end(folder: Path, num_rounds: int, before: int | None) -> None:
    """Print where a run is that was resumed or extended, and whether it had all its rounds already.

    Args:
        folder: The result folder.
        num_rounds: Its rounds.
        before: Those that it had if it was finished before, otherwise None.
    """
    if before == num_rounds:
        rounds = "its only round" if before == 1 else f"all its {before} rounds"
        print(f"{folder} had {rounds} already; `fedqml extend {folder} --rounds N` gives it more.")
    print_result(folder)


def print_result(folder: Path) -> None:
    """Print where a run is, and the head of its ledger if it keeps one."""
    from qiskit_fedqml.ledger.overview import overview_of

    print(f"Result: {folder}")
    if (overview := overview_of(folder)) is not None:
        print(f"Ledger: {overview.links} links, head {overview.head}")


def tell_stopped(result: "RunResult", folder: Path) -> None:
    """Say why a run has ended before its last round, and how it continues; and which round's model is kept."""
    _tell(result.ended_early, result.final_in_words)
    if result.stopped:
        _tell(result.stopped, f"`fedqml resume {folder}{_BUDGET}` continues.", _how_to_end(folder))


def how_to_compare(
    command: Sequence[str], files: Sequence[Path], names: Sequence[str], out: Path, name: str, has_begun: bool
) -> str:
    """Return how a comparison that was stopped goes on: with the folders of the runs that it has begun.

    Args:
        command: What follows the files: the comparison's options.
        files: What was to be compared.
        names: What each of them is called.
        out: The folder of its runs.
        name: The run in which it was stopped.
        has_begun: Whether that one is in its folder.
    """
    begun = names[: names.index(name) + has_begun]
    left = [path if path.is_dir() or of not in begun else out / of for of, path in zip(names, files, strict=True)]
    return f"{'Then ' if has_begun else ''}`{shlex.join(['fedqml', 'compare', *map(str, left), *command])}` compares."


def _tell(*sentences: str) -> None:
    for sentence in sentences:
        if sentence:
            print(f"fedqml: {sentence}", file=sys.stderr)


def _age_of(folder: Path) -> tuple[bool, float]:
    """Return whether a finished run is in a folder, and when it was begun."""
    begun = folder / "run.json"
    is_finished = (folder / "model.safetensors").exists()
    return is_finished, begun.stat().st_mtime if begun.exists() else 0.0


def _how_to_end(folder: Path) -> str:
    """Return how a run ends with the rounds that are done; nothing if none is."""
    from qiskit_fedqml.results.folder import RunFolder

    try:
        done = len(RunFolder(folder).read()[2])
    except ResultError:  # as below
        return ""
    rounds = "1 round that is" if done == 1 else f"{done} rounds that are"
    return f"`fedqml extend {folder} --rounds {done}` ends it with the {rounds} done." if done else ""


def _how_to_resume(folder: Path, before: tuple[bool, float], option: str = "") -> str:
    """Return how this run is resumed; nothing if it has not begun, so that the folder has none, or an earlier one."""
    from qiskit_fedqml.results.folder import RunFolder

    is_finished, begun = _age_of(folder)
    if not begun or (is_finished and before == (is_finished, begun)):
        return ""
    how = f"`fedqml resume {folder}{option}` continues from the last finished round."
    try:
        submissions = RunFolder(folder).submissions()
    except ResultError:  # it must not hide what has ended the run
        submissions = []
    alive = [s for s in submissions if s.state == "sent" and s.account is not None]
    if not alive:
        return how
    one = len(alive) == 1
    return (
        f"{how} {len(alive)} {'job lives' if one else 'jobs live'} on at the devices, and will be used; "
        f"`fedqml jobs {folder} --cancel` cancels {'it' if one else 'them'}."
    )
