"""A replay knows its jobs by how they were asked, also in journals of earlier versions."""

from hashlib import sha256
from types import SimpleNamespace

import pytest

from qiskit_fedqml.backends.devices.fingerprint import fingerprint
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.config.devices import IBMEntry, ProviderEntry

REHEARSED = {"type": "ibm", "device": "FakeManilaV2", "shots": 16}
GENERIC = {"type": "backend", "factory": "a:b", "arguments": {"num_qubits": 2}}


def question(*seeds, kind="train"):
    askers = tuple(SimpleNamespace(seed=seed) for seed in seeds)
    program, key = SimpleNamespace(observables=(1, 2)), JobKey(1, 0, 0, kind)
    return SimpleNamespace(askers=askers, jacobian=True, program=program, key=key)


@pytest.mark.parametrize(
    ("entry", "seeds", "settings"),
    [
        ({}, "None", '"options":{},"gradient":"parameter_shift"'),
        ({"gradient": {"spsa": {}}}, "7", '"options":{},"gradient":{"spsa":{"perturbation":0.2}}'),
        (
            {"mitigation": {"readout": True}},
            "None",
            '"mitigation":{"readout":true,"zne":null},"options":{},"gradient":"parameter_shift"',
        ),
    ],
)
def test_keys_have_the_order_of_earlier_journals(entry, seeds, settings):
    start = '{"device":"FakeManilaV2","shots":16,"primitive":"auto","resilience_level":0,'
    expected = sha256(f"{start}{settings}}} True {seeds} 2".encode()).hexdigest()
    assert fingerprint(IBMEntry.model_validate(REHEARSED | entry), question(7)) == expected


@pytest.mark.parametrize(
    ("change", "seeds"),
    [
        ({"factory": "a:c"}, (7,)),
        ({"arguments": {"num_qubits": 3}}, (7,)),
        ({"shots": 17}, (7,)),
        ({"gradient": {"random_shifts": {"fraction": 0.5}}}, (7,)),
    ],
)
def test_what_changes_an_answer_changes_it(change, seeds):
    first = fingerprint(ProviderEntry.model_validate(GENERIC), question(*seeds))
    assert fingerprint(ProviderEntry.model_validate(GENERIC | change), question(*seeds)) != first


def test_repetition_delay_counts_where_an_entry_of_ibm_sets_it():
    entry = IBMEntry.model_validate(REHEARSED | {"rep_delay_seconds": 1e-4})
    start = '{"device":"FakeManilaV2","shots":16,"primitive":"auto","rep_delay_seconds":0.0001,"resilience_level":0,'
    expected = sha256(f'{start}"options":{{}},"gradient":"parameter_shift"}} True None 2'.encode()).hexdigest()
    assert fingerprint(entry, question(7)) == expected
    slower = ProviderEntry.model_validate(GENERIC | {"rep_delay_seconds": 0.1})
    assert fingerprint(slower, question(7)) == fingerprint(ProviderEntry.model_validate(GENERIC), question(7))


@pytest.mark.parametrize(("model", "entry"), [(IBMEntry, REHEARSED), (ProviderEntry, GENERIC)])
def test_shots_are_those_of_the_evaluation(model, entry):
    tested = model.model_validate(entry | {"shots": 16, "test_shots": 64})
    plain = {shots: model.model_validate(entry | {"shots": shots}) for shots in (16, 64)}
    assert fingerprint(tested, question(7)) == fingerprint(plain[16], question(7))
    assert fingerprint(tested, question(7, kind="test")) == fingerprint(plain[64], question(7, kind="test"))


def test_seeds_of_random_gradients_count():
    shifts = ProviderEntry.model_validate(GENERIC | {"gradient": {"random_shifts": {"fraction": 0.5}}})
    assert len({fingerprint(shifts, question(*seeds)) for seeds in ((7,), (8,), (7, 8))}) == 3
    fixed = ProviderEntry.model_validate(GENERIC | {"optimization_level": 0, "layout_trials": 1})
    assert fingerprint(fixed, question(7)) == fingerprint(ProviderEntry.model_validate(GENERIC), question(8))
