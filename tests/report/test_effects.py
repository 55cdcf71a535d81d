"""What each setting of a grid changes, in made runs whose effects are known."""

from types import SimpleNamespace

import pytest

from qiskit_fedqml.report.effects import effect_note, effect_rows
from qiskit_fedqml.study.study import Study

SETTINGS = {f"epochs {e}, rate {r}": {"epochs": e, "rate": r} for e in "12" for r in "abc"}
ACCURACY, LOSS = "Accuracy, change (points)", "Testing loss, change"


def _study(seeds=(1, 2, 3)):
    """Each seed has an accuracy of its own; a second epoch adds 2 points, and in each seed another 0.1 of itself."""
    effects = {"1": 0.0, "2": 0.02, "a": 0.0, "b": -0.05, "c": 0.0}
    runs = {}
    for name, of in SETTINGS.items():
        for seed in seeds:
            accuracy = 0.5 + 0.1 * seed + effects[of["epochs"]] + effects[of["rate"]]
            accuracy += 0.001 * seed if of["epochs"] == "2" else 0.0
            record = SimpleNamespace(test_accuracy=accuracy, test_loss=1 - accuracy)
            runs[name, seed] = SimpleNamespace(rounds=(record,), final=record)
    return Study(runs)


def test_an_effect_is_the_mean_over_pairs_that_differ_in_it_alone_with_an_interval_over_seeds():
    epochs, b, c = effect_rows(_study(), SETTINGS)
    assert [(row["Setting"], row["Change"], row["Pairs"]) for row in (epochs, b, c)] == [
        ("epochs", "1 → 2", "9"),
        ("rate", "a → b", "6"),
        ("rate", "a → c", "6"),
    ]
    assert epochs[ACCURACY] == "+2.20 ± 0.25", "the seeds' means are 2.1, 2.2 and 2.3: 4.303 · 0.1 / √3"
    assert (b[ACCURACY], b[LOSS]) == ("-5.00 ± 0.00", "+0.050 ± 0.000")
    assert (b["By accuracy"], b["By testing loss"]) == ("lower", "higher")
    assert c["By accuracy"] == "no significant difference"
    assert "(last round)" in effect_note(_study())


@pytest.mark.parametrize("seeds", [(1,), (1, 2)])
def test_of_few_seeds_nothing_is_said_to_differ(seeds):
    rows = effect_rows(_study(seeds), SETTINGS)
    assert {row["By accuracy"] for row in rows} == {"too few seeds"}
    assert rows[0]["Pairs"] == str(3 * len(seeds))


def test_without_a_grid_there_are_no_effects():
    assert effect_rows(_study(), {}) == []
