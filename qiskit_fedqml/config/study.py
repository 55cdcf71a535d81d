"""A study as a value: an experiment file, what is changed in it, and the seeds of all of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.loading import load_experiment
from qiskit_fedqml.config.strict import Flag, Integer, StrictModel
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.config.yaml_files import read_yaml
from qiskit_fedqml.config.yaml_words import shown_as_yaml
from qiskit_fedqml.errors import ConfigurationError, listed, shown

MOST_SEEDS = 1000
MOST_RUNS = 10_000
"""Of a study; each has a folder."""

_SEVERAL = 2

_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds of a text such as ``"1-5"`` or ``"1,3,7-9"``.

    Raises:
        ValueError: It is none, a seed is there twice, or there are more than ``MOST_SEEDS``; the text says what it must
            be.
    """
    seeds: list[int] = []
    for part in text.split(","):
        found = _RANGE.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise ValueError(f"must be whole numbers and ranges of them, such as 1-5 or 1,3,7-9, but got {shown(text)}")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"must be at most {MOST_SEEDS:,} seeds, but got {shown(text)}")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"must differ, but got {shown(text)}")
    return tuple(seeds)


def _seeds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"must be a list such as [1, 2, 3], or a range such as 1-5, but got {shown(value)}")
    return parse_seeds(value) if isinstance(value, str) else value


class StudyConfig(StrictModel):
    """A study file.

    Every scheme is run with every seed, so that runs of one seed are pairs. With ``grid``, a scheme for each
    combination of its values; with ``schemes`` too, those of each scheme.
    """

    experiment: Annotated[str, Field(min_length=1)]
    seeds: Annotated[tuple[Integer, ...], BeforeValidator(_seeds), Field(min_length=1, max_length=MOST_SEEDS)]
    schemes: dict[str, dict[str, Any]] = Field(default_factory=dict)
    grid: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)
    keep_models: Flag = True

    @model_validator(mode="after")
    def _can_be_run(self) -> "StudyConfig":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, but are {listed(self.seeds, 20)}")
        if not self.schemes and not self.grid:
            raise ValueError("there must be schemes or a grid; `fedqml run FILE --seeds 1-5` runs one scheme")
        for name, changes in self.schemes.items():
            if not re.search(r"\w", name):
                raise ValueError(f"a scheme must have a name with a letter or a digit, but is called {shown(name)}")
            if both := sorted(changes.keys() & self.grid.keys()):
                raise ValueError(f"the scheme {shown(name)} changes {listed(both, 3)}, which the grid varies")
        if any(key == "seed" for changes in (*self.schemes.values(), self.grid) for key in changes):
            raise ValueError("the key seed is varied by `seeds` alone")
        count = len(self.seeds) * len(self.schemes or "1")
        for values in self.grid.values():
            count *= len(values)
        if count > MOST_RUNS:
            raise ValueError(f"there must be at most {MOST_RUNS:,} runs, but schemes, grid and seeds make {count:,}")
        return self

    def changes(self) -> dict[str, dict[str, Any]]:
        """Return what each scheme changes in the experiment, by its name.

        Raises:
            ConfigurationError: Two schemes have the same name.
        """
        names = _short_names(list(self.grid))
        found: dict[str, dict[str, Any]] = {}
        for scheme, changes in (self.schemes or {"": {}}).items():
            for values in product(*self.grid.values()):
                point = dict(zip(self.grid, values, strict=True))
                words = [f"{names[key]} = {_in_words(value)}" for key, value in point.items()]
                name = ", ".join(filter(None, [scheme, *words]))
                if name in found:
                    raise ConfigurationError(f"Two schemes are called {shown(name)}; name them in `schemes`.")
                found[name] = {**changes, **point}
        return found

    def settings(self) -> dict[str, dict[str, str]]:
        """Return which settings each scheme has, in words, by its name; none where there is no grid to compare them in.

        The name among ``schemes`` is one of the settings, where there are several.
        """
        if not self.grid or (len(self.grid) == 1 and len(self.schemes) < _SEVERAL):
            return {}
        names = _short_names(list(self.grid))
        points = [
            ({"Scheme": scheme} if len(self.schemes) >= _SEVERAL else {})
            | {names[key]: _in_words(value) for key, value in zip(self.grid, values, strict=True)}
            for scheme in self.schemes or ("",)
            for values in product(*self.grid.values())
        ]
        return dict(zip(self.changes(), points, strict=True))


@dataclass(frozen=True)
class StudyPlan:
    """All experiments of a study, checked.

    Args:
        experiments: Those of each scheme, by its name, with a seed each.
        keep_models: Whether trained models are kept.
        settings: What a grid sets in each scheme, in words, by the scheme's name and the setting's; empty without one.
    """

    experiments: Mapping[str, tuple[Experiment, ...]]
    keep_models: bool = True
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def load_study(path: str | Path, overrides: Mapping[str, Any] | None = None) -> StudyPlan:
    """Read a study file, and check each of its experiments.

    Args:
        path: The YAML file. Paths in it start at its folder.
        overrides: Values to put in place of the experiment's in all schemes, by dotted key; paths start at the current
            folder.

    Raises:
        ConfigurationError: A file cannot be read, or a key or value is wrong, or an override is what the study varies.
    """
    path, overrides = Path(path), {key: _placed(key, value) for key, value in (overrides or {}).items()}
    data = read_yaml(path)
    if isinstance(data, dict) and {"data", "federation"} <= data.keys():
        raise ConfigurationError(
            f"{path} is no study file, but an experiment; `fedqml run {path} --seeds 1-5` runs it with several seeds."
        )
    config = validate(StudyConfig, data, str(path))
    base, found = path.parent / config.experiment, {}
    for scheme, changes in config.changes().items():
        if varied := sorted(key for key in (*changes, "seed") if key in overrides):
            raise ConfigurationError(f"The study {path} varies {listed(varied, 3)}, so no other value can be given.")
        names = {key: f"{path}, scheme {shown(scheme)}: {key}" for key in changes}
        names |= {key: f"--set {key}" for key in overrides}
        experiment = load_experiment(base, {**overrides, **changes}, names, folder=path.parent)
        found[scheme] = with_seeds(experiment, config.seeds)
    return StudyPlan(found, config.keep_models, config.settings())


def with_seeds(experiment: Experiment, seeds: Sequence[int]) -> tuple[Experiment, ...]:
    """Return the experiment with each of these seeds.

    Raises:
        ConfigurationError: A seed is no whole number, or is there twice.
    """
    if len(set(seeds)) < len(seeds):
        raise ConfigurationError(f"Seeds must differ, but are {listed(seeds, 20)}.")
    return tuple(experiment.changed({("seed",): ("The seed", seed)}) for seed in seeds)


def _placed(key: str, value: Any) -> Any:
    """Let a path that was given by an override start at the current folder."""
    is_path = key in {"backends", "model.initial", "model.circuit.qpy"} and isinstance(value, (str, Path))
    return str(Path(value).absolute()) if is_path else value


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return keys without their sections where that keeps them apart."""
    ends = {key: key.rpartition(".")[2] for key in keys}
    return {key: end if list(ends.values()).count(end) == 1 else key for key, end in ends.items()}


def _in_words(value: Any) -> str:
    return value if isinstance(value, str) else shown_as_yaml(value)
