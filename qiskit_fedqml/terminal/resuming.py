"""What `fedqml resume` prints about how it continues a run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from qiskit_fedqml.errors import AccountLimitError, BackendError, BudgetError, ResultError


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Let Ctrl-C, and what a later try may mend, end with how to resume, if there is a run in the folder."""
    before = _age_of(folder)
    try:
        yield
    except KeyboardInterrupt:
        _tell("stopped", _how_to_resume(folder, before))
        raise typer.Exit(130) from None
    except (BackendError, BudgetError) as error:
        is_budget_of_run = isinstance(error, BudgetError) and not isinstance(error, AccountLimitError)
        option = " --budget [NAME=]SECONDS" if is_budget_of_run else ""
        _tell(str(error), _how_to_resume(folder, before, option))
        raise typer.Exit(2) from None


def _tell(*sentences: str) -> None:
    for sentence in sentences:
        if sentence:
            print(f"fedqml: {sentence}", file=sys.stderr)


def _age_of(folder: Path) -> tuple[bool, float]:
    """Return whether a finished run is in a folder, and when it was begun."""
    begun = folder / "run.json"
    is_finished = (folder / "model.safetensors").exists()
    return is_finished, begun.stat().st_mtime if begun.exists() else 0.0


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
