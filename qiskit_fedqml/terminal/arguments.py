"""Arguments that commands share, checked as they come in."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qiskit_fedqml.config.text_files import unusable
from qiskit_fedqml.errors import ConfigurationError, shortened, shown

if TYPE_CHECKING:
    from qiskit_fedqml.config.experiment import Experiment


_MOST_WORKERS = 1024
"""As `federation.workers`."""


def usable(value: Any) -> Any:
    """Return a path, or paths, that the system takes as the name of a file or folder, whether there is one or not.

    Raises:
        ConfigurationError: A name is too long, a link leads to itself, or the like.
    """
    for path in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(path, Path) and (reason := unusable(path)):
            raise ConfigurationError(f"{shown(str(path))} cannot be used: {reason}.")
    return value


_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d{1,12}(?:\.\d*)?|\.\d+) ?(s|min|h)?")


def queue_time(seconds: float) -> float:
    """Return the time that is given for a queue.

    Raises:
        ConfigurationError: It is negative, infinite or NaN.
    """
    if not 0 <= seconds < math.inf:
        raise ConfigurationError(f"--queue-seconds must be a number of seconds from 0, but got {seconds:g}.")
    return seconds


def fit_seconds(text: str | None) -> float | None:
    """Return the QPU seconds of ``--fit``.

    Raises:
        ConfigurationError: They are no number above 0, with s, min or h behind it or without.
    """
    if text is None:
        return None
    found = _TIME.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if not 0 < seconds < math.inf:
        raise ConfigurationError(
            f"--fit must be a QPU time above 0, in seconds or with a unit, such as 600, 90s, 10min or 2h, but got "
            f"{shown(text)}."
        )
    return seconds


def parse_budget(text: str) -> tuple[str | None, float]:
    """Return the backend's name, None for the run, and the seconds of a ``--budget``.

    Raises:
        ConfigurationError: It is not [NAME=]SECONDS, or the seconds are no number above 0.
    """
    name, _, seconds = text.rpartition("=")
    try:
        budget = float(seconds)
    except ValueError:
        budget = math.nan
    if not (math.isfinite(budget) and budget > 0):
        raise ConfigurationError(
            f"--budget must be [NAME=]SECONDS, with seconds above 0, such as 300 or kingston=60, but got {shown(text)}."
        )
    return name or None, budget


def number_of_workers(text: str | None) -> int | str | None:
    """Return the number of ``--workers``, or ``"auto"``.

    Raises:
        ConfigurationError: It is neither.
    """
    if text is None or text == "auto":
        return text
    if re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= _MOST_WORKERS:
        return int(text)
    raise ConfigurationError(
        f"--workers must be 'auto' or a whole number from 1 to {_MOST_WORKERS}, but got {shown(text)}."
    )


def check_one_of(*, check: bool, save_calibration: bool, map: bool, out: bool) -> None:
    """Check that `fedqml backends` is asked for one thing, with options that it has.

    Raises:
        ConfigurationError: Several things are asked for, or ``--out`` comes without ``--map``.
    """
    if check + save_calibration + map > 1:
        raise ConfigurationError("--check, --save-calibration and --map are different things: give one of them.")
    if out and not map:
        raise ConfigurationError("--out says where the files of --map go, but there is no --map.")


def load(
    file: Path, backends: Path | None, overrides: Sequence[str] | None, workers: int | str | None = None
) -> "Experiment":
    """Read an experiment file with the values of ``--backends``, ``--set`` and ``--workers``.

    Raises:
        ConfigurationError: A file cannot be read, or a key or value is wrong.
    """
    from qiskit_fedqml.config.loading import load_experiment, parse_override

    values = dict(parse_override(text) for text in overrides or ())
    options = {key: f"--set {shortened(key)}" for key in values}
    if backends is not None:
        values["backends"] = backends
        options["backends"] = "--backends"
    if workers is not None:
        values.pop("federation.workers", None)
        values["federation.workers"] = workers  # after what --set gives
        options["federation.workers"] = "--workers"
    return load_experiment(file, values, options)


def options_of(backends: Path | None, overrides: Sequence[str] | None) -> list[str]:
    """Return ``--backends`` and ``--set`` as they were given."""
    given = [("--backends", str(backends))] if backends else []
    return [part for pair in [*given, *(("--set", text) for text in overrides or ())] for part in pair]


def name_of(folder: Path) -> str:
    """Return what a run in a folder is called, also where the path ends with "." or ".."."""
    return folder.resolve().name or str(folder)


ExperimentFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="An experiment file, such as experiments/digits.yaml.", callback=usable)
]
BackendsOption = Annotated[
    Path | None,
    typer.Option(
        "--backends",
        metavar="YAML",
        help="The machines and who has which, in place of the experiment's.",
        callback=usable,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Another value for a key, such as federation.rounds=3; may be repeated."
    ),
]
WorkersOption = Annotated[
    str | None,
    typer.Option(
        "--workers",
        metavar="N|auto",
        help="Processes in which the clients of simulators train; auto: one for each core.",
    ),
]
SeedsOption = Annotated[
    str | None,
    typer.Option(
        "--seeds",
        metavar="1-5|1,3,…",
        help="A run for each seed, in seed1, seed2, … of the result folder; --workers is how many run at a time. The "
        "same command runs what is missing.",
    ),
]
TrialsOption = Annotated[
    str | None, typer.Option("--workers", metavar="N|auto", help="How many runs at a time; auto: one for each core.")
]
StudyFolder = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="The study's folder; by default results/ and the file's name.", callback=usable
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="The result folder; by default results/ and the file's name.", callback=usable
    ),
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace a result folder that exists.")]
ReplaceOption = Annotated[bool, typer.Option("--overwrite", help="Replace files that hold something else.")]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Only say how large the run is, what memory and time it takes, and what devices would cost."
    ),
]
BudgetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="[NAME=]SECONDS",
        help="Another budget of QPU seconds, for a backend or the run; may be repeated. A backend with a budget of "
        "executions gets another one of these.",
    ),
]
PartialOption = Annotated[
    bool,
    typer.Option(
        "--allow-partial",
        help="Begin although budgets will not pay all rounds; end before the first one that does not fit.",
    ),
]
DeploymentFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Where the deployment is written; nothing may be there.", callback=usable)
]
AddressOption = Annotated[
    str,
    typer.Option("--address", metavar="HOST[:PORT]", help="Where the nodes reach the server's SuperLink."),
]
ShardsOption = Annotated[
    bool,
    typer.Option(
        "--shards", help="Put each client's part of the training data into its folder; otherwise each has its own."
    ),
]
RoundSecondsOption = Annotated[
    float,
    typer.Option(
        "--round-seconds", help="How long a client may take for a round, its device's queue included.", min=1.0, max=1e8
    ),
]
ResultFolder = Annotated[Path, typer.Argument(metavar="DIR", help="The result folder of the run.", callback=usable)]
QueueOption = Annotated[
    float,
    typer.Option("--queue-seconds", help="How long a job waits in its queue, as you expect it.", callback=queue_time),
]
FitOption = Annotated[
    str | None,
    typer.Option(
        "--fit",
        metavar="SECONDS",
        help="Propose settings that take so much QPU time at most, such as 600 or 10min.",
    ),
]
ProposalOption = Annotated[
    int | None,
    typer.Option("--proposal", metavar="N", min=1, help="With --fit, print the command of the Nth proposal."),
]
ModelBackendOption = Annotated[
    str | None, typer.Option("--backend", metavar="NAME", help="The backend; by default the run's server backend.")
]
TestBackendsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="NAME",
        help="The backend; by default the run's server backend. Given several times, accuracies are put side by side.",
    ),
]
ModelBackendsOption = Annotated[
    Path | None,
    typer.Option(
        "--backends",
        metavar="YAML",
        help="The file that has the backend; by default the run's own, or ./backends.yaml.",
        callback=usable,
    ),
]
JsonOption = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the result as JSON, with all its figures; - prints that, and nothing else.",
        callback=usable,
    ),
]
FilesOrFolders = Annotated[
    list[Path],
    typer.Argument(metavar="FILE…", help="Experiment files, or folders of finished runs.", callback=usable),
]
ComparisonFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where results, table and figure go.", callback=usable)
]
ResultFolders = Annotated[
    list[Path],
    typer.Argument(metavar="DIR…", help="Result folders, of finished and unfinished runs.", callback=usable),
]
ReportFolder = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Where report.html and figures/ go.", callback=usable)
]
BackendsFileOption = Annotated[
    Path | None,
    typer.Option(
        "--backends",
        metavar="YAML",
        help="The backends file; by default that of the experiment, or backends.yaml.",
        callback=usable,
    ),
]
ExperimentOption = Annotated[
    Path | None,
    typer.Option(
        "--experiment",
        metavar="FILE",
        help="An experiment, whose machines are taken, and whose circuit --map draws in place of the paper's.",
        callback=usable,
    ),
]
CheckOption = Annotated[bool, typer.Option("--check", help="Prove that each machine's noise acts as its rates say.")]
SaveOption = Annotated[
    tuple[str, Path] | None,
    typer.Option(
        "--save-calibration",
        metavar="NAME FILE",
        help="Write the calibration of a fake device (FakeManilaV2) or of a backend of the file that has one.",
        callback=usable,
    ),
]
MapOption = Annotated[
    str | None,
    typer.Option(
        "--map",
        metavar="NAME",
        help="Draw a backend of the file, with the blocks that hold the circuit, as NAME.svg and NAME.png.",
    ),
]
MapFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Where the files of --map go; by default here.", callback=usable),
]
