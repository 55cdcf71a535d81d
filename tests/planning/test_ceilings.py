"""Limits of what a run may spend."""

import pytest

from qiskit_fedqml.planning.ceilings import Ceiling, fit
from qiskit_fedqml.planning.work import Work

ALL = frozenset({"a"})


def rounds(*seconds):
    return [{"a": Work(jobs=1, executions=round(10 * s), qpu_seconds=s)} for s in seconds]


def test_as_much_as_a_limit_is_within_it_whatever_rounding_says():
    """0.1 + 0.2 is a little more than 0.3."""
    limit = Ceiling("the budget", ALL, 0.3, spent=0.1)
    assert limit.spent + 0.2 > limit.most
    assert not limit.is_passed(0.2)
    assert limit.is_passed(0.2001)
    assert fit([Ceiling("the budget", ALL, 0.3)], rounds(0.1, 0.2)).rounds == 2


def test_rounds_are_counted_until_a_limit_is_passed():
    found = fit([Ceiling("the budget", ALL, 5.0), Ceiling("few", ALL, 25, of="executions")], rounds(1.0, 1.0, 1.0))
    assert (found.rounds, found.passed.what, found.need) == (2, "few", 30)
    assert fit([], rounds(1.0, 2.0)).need == pytest.approx(3.0)


def test_little_that_is_missing_never_reads_as_nothing():
    assert Ceiling("the budget", ALL, 10.0).described(10.01) == "the budget is 10.0 s, 0.1 s too little"
    assert Ceiling("the budget", ALL, 10.0, spent=4.0).described(8.0).endswith("spent, 2.0 s too little")
    assert Ceiling("it", ALL, 9, of="executions").described(10) == "it is 9 executions, 1 execution too little"
