"""How a stopped run is resumed, as its command tells it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from qiskit_fedqml.errors import BackendError, BudgetError, ConfigurationError


def parse_budget(text: str) -> tuple[str | None, float]:
    """Return the backend's name, None for the run, and the seconds of a ``--budget``.

    Raises:
        ConfigurationError: It is not [NAME=]SECONDS.
    """
    name, _, seconds = text.rpartition("=")
    try:
        return name or None, float(seconds)
    except ValueError:
        raise ConfigurationError(
            f"--budget must be [NAME=]SECONDS, such as 300 or torino=60, but got {text!r}."
        ) from None


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Let Ctrl-C, and what a later try may mend, end with how to go on, if there is a run in the folder."""
    before = _age_of(folder)
    try:
        yield
    except KeyboardInterrupt:
        _tell("stopped", _how_to_go_on(folder, before))
        raise typer.Exit(130) from None
    except (BackendError, BudgetError) as error:
        option = " --budget [NAME=]SECONDS" if isinstance(error, BudgetError) else ""
        _tell(str(error), _how_to_go_on(folder, before, option))
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


def _how_to_go_on(folder: Path, before: tuple[bool, float], option: str = "") -> str:
    """Return how this run goes on; nothing if it has not begun, so that the folder has none, or an earlier one."""
    from qiskit_fedqml.results.folder import RunFolder

    is_finished, begun = _age_of(folder)
    if not begun or (is_finished and before == (is_finished, begun)):
        return ""
    how = f"`fedqml resume {folder}{option}` goes on from the last finished round."
    alive = [s for s in RunFolder(folder).submissions() if s.state == "sent" and s.account is not None]
    if not alive:
        return how
    one = len(alive) == 1
    return (
        f"{how} It takes up {len(alive)} {'job' if one else 'jobs'} on devices, which {'lives' if one else 'live'} on; "
        f"`fedqml jobs {folder} --cancel` cancels {'it' if one else 'them'}."
    )
