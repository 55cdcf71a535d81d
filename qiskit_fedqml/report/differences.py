"""What schemes differ in, in pairs of runs with the same seed."""

from textwrap import fill

from qiskit_fedqml.report.groups import Runs, study_of
from qiskit_fedqml.study.outcomes import OUTCOMES, last_rounds_in_words
from qiskit_fedqml.study.statistics import Interval, differ_by_holm, over_seeds
from qiskit_fedqml.study.study import Study

_FEWEST_PAIRS = 2
"""One pair shows no spread: what it differs by can be read from the table of runs."""

_LONGEST_NAME = 24
"""Characters of a scheme's name that a heading of a column repeats; the note below the table gives a longer one."""


def difference_rows(runs: Runs) -> list[dict[str, str]]:
    """Return a row for each scheme that shares two seeds or more with the first one, and one for that.

    Args:
        runs: Runs by the name of their scheme; the first is the reference.

    Returns:
        Accuracy and testing loss of the last rounds, and what they have less the reference's of the same seeds, with
        95% intervals, or with the range of two seeds; and by Holm's method over the whole table, whether that differs.
        No rows where no scheme shares two seeds with the first.
    """
    study = study_of(runs)
    compared = _compared(study)
    if not compared:
        return []
    reference = study.schemes[0]
    rounds = last_rounds_in_words(study.lengths_of(reference, *compared))
    found = {(o.name, scheme): o.less(study, scheme, reference) for scheme in compared for o in OUTCOMES}
    differs = dict(zip(found, differ_by_holm(list(found.values())), strict=True))
    rows = []
    for scheme in (reference, *compared):
        row = {"Scheme": scheme, "Pairs": "" if scheme == reference else str(found[OUTCOMES[0].name, scheme].count)}
        for outcome in OUTCOMES:
            of = found.get((outcome.name, scheme))
            row |= {
                outcome.heading_over(rounds): outcome.text(outcome.mean(study, scheme)),
                outcome.heading_less(_short(reference)): outcome.text(of, signed=True) if of else "",
                f"By {outcome.name.lower()}": verdict(of, differs[outcome.name, scheme]) if of else "",
            }
        rows.append(row)
    return rows


def difference_note(runs: Runs) -> str:
    """Return in words what :func:`difference_rows` shows; nothing where it has no rows."""
    study = study_of(runs)
    if not (compared := _compared(study)):
        return ""
    counts = sorted({len(study.of(scheme)) for scheme in (study.schemes[0], *compared)})
    over = over_seeds(counts[0]) if len(counts) == 1 else f"over {counts[0]} to {counts[-1]} seeds ({_MIXED})"
    return _NOTE.format(
        rounds=last_rounds_in_words(study.lengths_of(study.schemes[0], *compared)),
        over=over,
        reference=study.schemes[0],
        judged=_JUDGED if counts[-1] > _FEWEST_PAIRS else "",
    )


def verdict(of: Interval, differs: bool) -> str:
    """Return in words what a difference shows."""
    if of.half_width is None:
        return "too few seeds"
    if not differs:
        return "no significant difference"
    return "higher" if of.mean > 0 else "lower"


def _short(reference: str) -> str:
    """Return what a heading calls the scheme that others are compared with."""
    return f"“{reference}”" if len(reference) <= _LONGEST_NAME else "the first"


def _compared(study: Study) -> list[str]:
    first, *others = study.schemes
    seeds = study.of(first)
    return [scheme for scheme in others if len(seeds.keys() & study.of(scheme).keys()) >= _FEWEST_PAIRS]


_MIXED = "95% intervals by Student's t, or the range of two"
_NOTE = (
    "Accuracies and losses are means of the last quarter of the rounds, ten at most ({rounds}), {over}. Differences "
    "are to the first scheme, “{reference}”, with the same seed.{judged}"
)
_JUDGED = " “Higher” and “lower”: the difference is not 0 by Holm's method over the whole table, at 5%."


def paragraph(text: str) -> str:
    """Return text in lines of 120 characters, as a paragraph of its own."""
    return f"\n{fill(text, 120)}\n" if text else ""
