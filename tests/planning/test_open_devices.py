"""Devices under other settings: opened once, compiled again only where the circuit would change."""

import pytest

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.planning.changes import Change, changed
from qiskit_fedqml.planning.fitting import propose
from qiskit_fedqml.planning.planner import Planner

SHOP = "tests.backends.providers.shop"


def with_entry(experiment, name="a", **settings):
    return changed(experiment, [Change("", {("backends", "backends", name, k): v for k, v in settings.items()}, 0.0)])


def test_no_other_settings_open_a_device(experiment, monkeypatch):
    opened, open_one = [], BackendRegistry._open
    monkeypatch.setattr(BackendRegistry, "_open", lambda self, name: opened.append(name) or open_one(self, name))
    planner = Planner.open(experiment({"blocks": {"spread": "clients"}}, federation__rounds=2))
    assert planner.plan().savings
    assert propose(planner, 20)
    assert sorted(opened) == ["a", "b"]


def test_circuit_is_compiled_for_what_it_depends_on(experiment):
    asked = experiment()
    planner = Planner.open(asked)
    backend, program = planner.devices(asked)["a"]
    same = {"shots": 7, "test_shots": 3, "joint": True, "gradient": {"spsa": {}}, "rep_delay_seconds": 0.0}
    other, as_before = planner.devices(with_entry(asked, **same))["a"]
    assert as_before is program
    assert (other.entry.shots, backend.entry.shots) == (7, 100)
    packed = planner.devices(with_entry(asked, blocks="auto"))["a"][1]
    assert len(packed.copies) == 2
    assert planner.devices(with_entry(asked, blocks="auto", shots=7))["a"][1] is packed


def test_clients_share_the_blocks_of_their_own_settings(experiment):
    """Of two clients each has a block, and one alone has both."""
    asked = experiment({"blocks": {"spread": "clients"}})
    planner = Planner.open(asked)
    assignment = {("backends", "assignment", "clients"): {"0": "a"}, ("backends", "assignment", "default"): "ideal"}
    alone = changed(asked, [Change("", assignment, 0.0)])
    for experiment, number in ((asked, 1), (alone, 2), (asked, 1)):
        backend, program = planner.devices(experiment)["a"]
        assert len(backend.calibration_of(program, 0)["blocks"]) == number


@pytest.mark.parametrize(
    ("second", "keeps"),
    [
        ({}, True),
        ({"mode": "session"}, False),
        ({"type": "backend", "factory": f"{SHOP}:last"}, True),
        ({"type": "backend", "factory": f"{SHOP}:Silent"}, False),
    ],
)
def test_who_can_keep_a_budget_of_seconds(experiment, second, keeps):
    entry = second if "factory" in second else {"type": "ibm", "device": "FakeManilaV2", **second}
    asked = experiment(entries={"b": {"shots": 20, "layout_trials": 1, **entry}})
    assert Planner.open(asked).budget(40.0) == (40.0 if keeps else None)
