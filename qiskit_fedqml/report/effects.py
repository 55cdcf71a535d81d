"""Main effects of a grid's settings: what each value changes, over all values of the other settings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from qiskit_fedqml.report.differences import verdict
from qiskit_fedqml.study.outcomes import OUTCOMES, Outcome, last_rounds_in_words
from qiskit_fedqml.study.statistics import Interval, differ_by_holm, mean_interval
from qiskit_fedqml.study.study import Study

Settings = Mapping[str, Mapping[str, str]]
"""The settings of each scheme by their names, in words."""


@dataclass(frozen=True)
class _Change:
    """Two values of a setting, and the schemes that differ in them alone.

    Args:
        setting: Its name.
        before: Its first value.
        after: Another of its values.
        pairs: Schemes with the first and the other value, as pairs.
    """

    setting: str
    before: str
    after: str
    pairs: tuple[tuple[str, str], ...]

    def effect(self, study: Study, outcome: Outcome) -> Interval:
        """Return the mean difference, and its interval over the seeds: pairs of one seed are no independent ones."""
        schemes = {scheme: study.values(scheme, outcome.value_of) for pair in self.pairs for scheme in pair}
        of_seeds = [
            float(np.mean([schemes[after][seed] - schemes[before][seed] for before, after in self.pairs]))
            for seed in self.seeds(study)
        ]
        return mean_interval(of_seeds)

    def seeds(self, study: Study) -> list[int]:
        """Return the seeds that all of the schemes have."""
        each = [study.of(scheme).keys() for pair in self.pairs for scheme in pair]
        return sorted(set.intersection(*map(set, each)))


def effect_rows(study: Study, settings: Settings) -> list[dict[str, str]]:
    """Return a row for each value of a setting but its first: what it changes, in accuracy and testing loss.

    Differences are taken in pairs of runs that differ in this setting alone, with the same seed; their mean has an
    interval over the seeds. By Holm's method over the whole table, the last columns say whether it differs from 0.

    Args:
        study: The runs.
        settings: Those of each scheme; no rows without any.
    """
    changes = [change for change in _changes(settings) if change.seeds(study)]
    found = {(change, outcome.name): change.effect(study, outcome) for change in changes for outcome in OUTCOMES}
    differs = dict(zip(found, differ_by_holm(list(found.values())), strict=True))
    return [
        {
            "Setting": change.setting,
            "Change": f"{change.before} → {change.after}",
            "Pairs": str(len(change.pairs) * len(change.seeds(study))),
            **{
                column: text
                for outcome in OUTCOMES
                for of in [found[change, outcome.name]]
                for column, text in (
                    (outcome.heading_change, outcome.text(of, signed=True)),
                    (f"By {outcome.name.lower()}", verdict(of, differs[change, outcome.name])),
                )
            },
        }
        for change in changes
    ]


def effect_note(study: Study) -> str:
    """Return in words what :func:`effect_rows` shows."""
    rounds = last_rounds_in_words(study.lengths_of(*study.schemes))
    return (
        "What a setting changes, in the mean over pairs of runs that differ in it alone and have the same seed "
        f"({rounds}). Intervals are over the seeds, each with the mean of its pairs. “Higher” and “lower”: the change "
        "is not 0 by Holm's method over the whole table, at 5%."
    )


def _changes(settings: Settings) -> Iterator[_Change]:
    names = list(dict.fromkeys(name for of in settings.values() for name in of))
    for name in names:
        first, *others = dict.fromkeys(of[name] for of in settings.values())
        for value in others:
            pairs = [
                (before, after)
                for before, a in settings.items()
                for after, b in settings.items()
                if a[name] == first and b[name] == value and all(a[n] == b[n] for n in names if n != name)
            ]
            yield _Change(name, first, value, tuple(pairs))
