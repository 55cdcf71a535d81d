from pathlib import Path

import pytest

from qiskit_fedqml import run_federation
from qiskit_fedqml.backends.array.registry import BackendRegistry

SIZE = {"seed": 1, "clients": 20, "attackers": 6, "overrides": {}}
SMALL = {"federation.rounds": 2, "federation.local_epochs": 1, "model.hidden": [4]}


def test_defences_differ_in_aggregation_alone_and_attacks_in_clients_alone(script):
    clean = script.experiment_of("none", "fedavg", **SIZE)
    made = {(a, d): script.experiment_of(a, d, **SIZE) for a in script.ATTACKS for d in script.DEFENCES}
    for (attack, defence), experiment in made.items():
        assert experiment.model_copy(update={"aggregation": clean.aggregation}) == made[attack, "fedavg"]
        assert experiment.aggregation == made["none", defence].aggregation
        honest = {"data": clean.data, "federation": clean.federation, "backends": clean.backends}
        assert experiment.model_copy(update=honest) == made["none", defence]
    assert len({experiment.model_dump_json() for experiment in made.values()}) == len(made)


def test_attacks_by_machines_change_machines_alone_and_only_the_attackers(script):
    clean = script.experiment_of("none", "fedavg", **SIZE)
    for name, attack in script.ATTACKS.items():
        experiment = script.experiment_of(name, "fedavg", **SIZE)
        assigned = BackendRegistry(experiment.backends, Path()).assign(20)
        if attack.machine is None:
            assert experiment.backends == clean.backends
            continue
        assert (experiment.data, experiment.federation) == (clean.data, clean.federation)
        assert all(machine.startswith("liar") for machine in assigned[:6])
        assert len(set(assigned[:6])) == (1 if attack.is_shared else 6)
        assert set(assigned[6:]) == {"ideal"}
        assert experiment.backends.assignment.server == "ideal"


def test_attackers_end_the_run_of_rules_that_need_more_updates_than_are_left(script):
    stopped = {
        defence
        for defence in script.DEFENCES
        if script.can_be_stopped("not_finite", script.experiment_of("not_finite", defence, **SIZE), 6)
    }
    assert stopped == {"krum", "multi_krum", "bulyan"}
    assert not script.can_be_stopped("scaled", script.experiment_of("scaled", "krum", **SIZE), 6)


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["inner_product", "own_angles"])
def test_any_number_of_workers_gives_the_same_bits(script, tmp_path, attack):
    size = {"seed": 3, "clients": 4, "attackers": 1}
    runs = [
        run_federation(
            script.experiment_of(attack, "median", **size, overrides={**SMALL, "federation.workers": workers}),
            tmp_path / str(workers),
            progress=False,
        )
        for workers in (1, 2)
    ]
    losses = [[record.test_loss for record in run.rounds] for run in runs]
    assert losses[0] == losses[1]
