from qiskit_fedqml import load_experiment
from qiskit_fedqml.study.outcomes import settled_loss
from tests.conftest import ROOT


def test_variants_differ_from_fedavg_in_aggregation_alone(script):
    for situation, of in script.SITUATIONS.items():
        made = {
            scheme: load_experiment(ROOT / "experiments" / "digits.yaml", {**of, **changes})
            for scheme, changes in script.schemes(situation).items()
        }
        fedavg = made[script.FEDAVG]
        for experiment in made.values():
            federation = experiment.federation.model_copy(update={"proximal_mu": 0.0})
            changes = {"aggregation": fedavg.aggregation, "federation": federation}
            assert experiment.model_copy(update=changes) == fedavg
        assert len({e.model_dump_json() for e in made.values()}) == len(made)


def test_verdicts_go_by_direction_and_by_holm_over_both_outcomes(script, monkeypatch):
    """FedAvg at 80% and loss 0.5; one variant is worse and better by them, one differs by less than its spread."""
    figures = {"FedAvg": (0.8, 0.5), "shift": (0.7, 0.4), "same": (0.8, 0.5)}
    monkeypatch.setattr(script, "schemes", lambda situation: {name: {} for name in figures})

    class Runs:
        def values(self, scheme, value_of):
            name = scheme.partition(": ")[2]
            spread = {"FedAvg": (0, 0, 0, 0), "shift": (1, -1, 2, -2), "same": (9, -8, 9, -9)}[name]
            return {k: figures[name][value_of is settled_loss] + 0.001 * by for k, by in enumerate(spread)}

    rows = {row["Aggregation"]: row for row in script.table(Runs(), "Skewed array")}
    assert (rows["shift"]["By accuracy"], rows["shift"]["By testing loss"]) == ("hurts", "helps")
    assert {rows["same"]["By accuracy"], rows["same"]["By testing loss"]} == {"no significant difference"}
    assert rows["shift"]["Accuracy minus FedAvg's (points)"].startswith("-10.00 ± ")
    assert rows["FedAvg"]["By accuracy"] == ""
