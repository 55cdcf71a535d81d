import pytest

from qiskit_fedqml.study.outcomes import ACCURACY
from qiskit_fedqml.study.statistics import Interval


def test_gap_is_that_of_pairs(script):
    class Pairs:
        def values(self, scheme, _):
            return {1: 0.9, 2: 0.8} if scheme == script.NOISELESS else {1: 0.85, 2: 0.75}

    gap = script.gap(Pairs(), "x", ACCURACY)
    assert gap == Interval(pytest.approx(-0.05), None, 2)


def test_the_arrays_are_told_in_words(script):
    bad = {"noise": "FakeQuitoV2", "noise_factor": 4.0}
    design = script.Design(
        devices={"A": {"noise": "FakeManilaV2"}},
        skewed={"A": {"noise": "FakeManilaV2"}, "B": bad, "C": bad},
        shots_swept=(None,),
        factors=(1.0,),
    )
    lines = script.about(design, seeds=3).splitlines()
    assert lines[0] == "", "it is a paragraph of its own below the table"
    assert max(map(len, lines)) <= 120
    text = " ".join(lines)
    assert "over 3 seeds" in text
    assert "FakeManilaV2. Skewed array: FakeManilaV2, FakeQuitoV2 with 4 times its error rates (2 machines)." in text
