"""Runs that differ in the seed alone, shown as one: under one name, as means with intervals."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.text_files import parse_json, read_text
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.report.naming import printable, run_names
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.configuration import key_of
from qiskit_fedqml.study.study import Study, folder_name

Runs = Mapping[str, RunResult | Sequence[RunResult]]
"""By its name, what is shown as one: a run, or runs that differ in the seed."""

_SEED_FOLDER = re.compile(r"seed(-?\d+)")
_END_OF_NAME = re.compile(r"[\W_]*(seed)?[\W_]*$", re.IGNORECASE)


def seeds_of(runs: Runs) -> dict[str, tuple[RunResult, ...]]:
    """Return the runs of each name; a run by itself is one of one."""
    return {name: (of,) if isinstance(of, RunResult) else tuple(of) for name, of in runs.items()}


def all_runs(runs: Runs) -> dict[str, RunResult]:
    """Return every run by itself."""
    return {
        name if len(of) == 1 else f"{name}, seed {run.experiment.seed}": run
        for name, of in seeds_of(runs).items()
        for run in of
    }


def study_of(runs: Runs) -> Study:
    """Return runs by name and seed."""
    return Study({(name, run.experiment.seed): run for name, of in seeds_of(runs).items() for run in of})


def grouped(runs: Mapping[str, RunResult]) -> dict[str, tuple[RunResult, ...]]:
    """Return runs by what they are shown as: ended ones that differ in the seed alone are one.

    Args:
        runs: Runs by the names of their folders.
    """
    places = {name: (run.folder or Path(name), run.experiment) for name, run in runs.items()}
    alone = [name for name, run in runs.items() if not run.is_complete]
    return {group: tuple(runs[name] for name in names) for group, names in groups_of(places, alone).items()}


def groups_of(places: Mapping[str, tuple[Path, Experiment]], alone: Iterable[str] = ()) -> dict[str, tuple[str, ...]]:
    """Return which runs are shown as one, by the name of their group.

    Runs of one configuration are a group. Where two of them have the same seed, those of each folder are.

    Args:
        places: Folder and configuration of each run by its name.
        alone: Names of runs that are in no group.
    """
    alone = set(alone)
    found: dict[tuple[str, ...], list[str]] = {}
    for name, (_, experiment) in places.items():
        found.setdefault((name,) if name in alone else ("", key_of(experiment)), []).append(name)
    members = [part for names in found.values() for part in _with_seeds_once(names, places)]
    order = {name: number for number, name in enumerate(places)}
    members = sorted(members, key=lambda names: min(order[name] for name in names))
    members = [sorted(names, key=lambda name: places[name][1].seed) for names in members]
    return dict(zip(_names(members, places), map(tuple, members), strict=True))


def seed_folders(folder: Path) -> list[Path]:
    """Return the result folders that a folder stands for: those of its seeds, or of a study's schemes, else itself."""
    if not folder.is_dir() or RunFolder(folder).is_run:
        return [folder]
    parents = [folder, *(path for path in sorted((folder / "runs").glob("*")) if path.is_dir())]
    return [path for parent in parents for path in _seeds_in(parent)] or [folder]


def _seeds_in(folder: Path) -> list[Path]:
    seeds = {path: _SEED_FOLDER.fullmatch(path.name) for path in folder.glob("seed*")}
    numbers = {path: int(seed[1]) for path, seed in seeds.items() if seed and RunFolder(path).is_run}
    return sorted(numbers, key=lambda path: numbers[path])


def _with_seeds_once(names: Sequence[str], places: Mapping[str, tuple[Path, Experiment]]) -> Iterator[list[str]]:
    """Split runs of one configuration until no seed is twice in a part: by the folders that they are in, then each."""
    if _differ(places[name][1].seed for name in names):
        yield list(names)
        return
    by_folder: dict[Path, list[str]] = {}
    for name in names:
        by_folder.setdefault(places[name][0].resolve().parent, []).append(name)
    for part in by_folder.values():
        yield from [part] if _differ(places[name][1].seed for name in part) else ([name] for name in part)


def _names(members: Sequence[Sequence[str]], places: Mapping[str, tuple[Path, Experiment]]) -> list[str]:
    """Return what groups are called: a run by its name, seeds by the folder that they are in, or by what they share."""
    found = [names[0] if len(names) == 1 else _shared(names) for names in members]
    parents = [_parent(names, places) for names in members]
    own = [parent if parent is not None and parents.count(parent) == 1 else None for parent in parents]
    folders = [parent for parent in own if parent is not None]
    for number, name in zip((n for n, parent in enumerate(own) if parent), run_names(folders), strict=True):
        folder = own[number]
        scheme = None if folder is None else _scheme_in(folder)
        found[number] = name if folder is None or scheme is None else name.removesuffix(folder.name) + scheme
    twice = {name for name in found if found.count(name) > 1}
    return [f"{name} ({number})" if name in twice else name for number, name in enumerate(found, start=1)]


def _scheme_in(folder: Path) -> str | None:
    """Return what a study calls the scheme whose seeds a folder holds; None of a folder of no study."""
    path = folder.parent.parent / "configurations.json"
    if folder.parent.name != "runs" or not path.is_file():
        return None
    try:
        schemes = parse_json(read_text(path, ResultError), str(path), ResultError)
    except ResultError:  # somebody else's file
        return None
    known = schemes if isinstance(schemes, dict) else {}
    return next((printable(scheme) for scheme in known if folder_name(scheme) == folder.name), None)


def _parent(names: Sequence[str], places: Mapping[str, tuple[Path, Experiment]]) -> Path | None:
    """Return the folder of several runs whose own folders are called by their seeds alone."""
    folders = [places[name][0].resolve() for name in names]
    is_one = len({folder.parent for folder in folders}) == 1
    return (
        folders[0].parent
        if len(names) > 1 and is_one and all(_SEED_FOLDER.fullmatch(f.name) for f in folders)
        else None
    )


def _shared(names: Sequence[str]) -> str:
    """Return how names begin in common, without "seed" at its end; or the first of them and how many follow."""
    same = takewhile(lambda characters: len(set(characters)) == 1, zip(*names, strict=False))
    beginning = _END_OF_NAME.sub("", "".join(characters[0] for characters in same))
    return beginning or f"{names[0]} and {len(names) - 1} more"


def _differ(values: Iterable[int]) -> bool:
    found = list(values)
    return len(set(found)) == len(found)
