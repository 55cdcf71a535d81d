"""Chips of machines, and which of their qubits hold a circuit."""

import math

import pytest

from qiskit_fedqml import BackendRegistry, paper_circuit
from qiskit_fedqml.backends.array.chips import chip_of, chips_in_blocks, machine_map
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.calibration import fake_calibration, fake_device
from qiskit_fedqml.backends.chip import Chip
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.errors import BackendError
from tests.backends.calibrations import Change

TWO, FOUR = paper_circuit(2, 1), paper_circuit()
GENERIC = {"type": "backend", "factory": "qiskit.providers.fake_provider:GenericBackendV2"}
LINE = {"num_qubits": 5, "coupling_map": [[k, k + 1] for k in range(4)], "seed": 1}
MACHINES = {
    "ideal": {"type": "aer"},
    "rates": {"type": "aer", "noise": {"readout": 0.1}},
    "nairobi": {"type": "aer", "noise": "FakeNairobiV2"},
    "rehearsal": {"type": "ibm", "device": "FakeNairobiV2"},
    "packed": {"type": "aer", "noise": "FakeNairobiV2", "blocks": "auto"},
    "line": {**GENERIC, "arguments": LINE},
    "sparse": {**GENERIC, "arguments": {**LINE, "noise_info": False}},
}
REGISTRY = BackendRegistry.from_mapping({"backends": MACHINES})


def registry(machine):
    return BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}, "x": machine}})


def calibrated(change, folder):
    """Return the registry of a machine with the noise of a changed calibration."""
    change.calibration.save(folder / "x.json")
    return registry({"type": "aer", "noise": {"calibration": str(folder / "x.json")}})


def test_chips_are_those_of_qiskits_coupling_maps_and_ibms_coordinates():
    for device in ("FakeManilaV2", "FakeNairobiV2", "FakeMontrealV2"):
        found = chip_of(registry({"type": "aer", "noise": device}), "x")
        pairs = {tuple(sorted(pair)) for pair in fake_device(device).coupling_map.get_edges()}
        assert set(found.couplings) == pairs
        assert list(found.couplings) == sorted(pairs)
    nairobi = chip_of(REGISTRY, "nairobi")
    assert nairobi == chip_of(REGISTRY, "rehearsal")
    assert all(math.dist(nairobi.coordinates[a], nairobi.coordinates[b]) == 1 for a, b in nairobi.couplings)
    assert chip_of(REGISTRY, "line") == Chip(5, ((0, 1), (1, 2), (2, 3), (3, 4)))
    assert chip_of(REGISTRY, "ideal") is chip_of(REGISTRY, "rates") is None


@pytest.mark.parametrize("name", ["nairobi", "line"])
def test_chips_are_read_as_they_were_written(name):
    chip = chip_of(REGISTRY, name)
    values = chip.as_json()
    assert Chip.from_json(values) == chip
    assert all(isinstance(value, (int, str)) for value in values.values())
    with pytest.raises(ValueError):
        Chip.from_json({**values, "couplings": "0-x"})


def test_only_chips_of_machines_in_blocks_are_recorded():
    assert list(chips_in_blocks(REGISTRY, ["packed", "nairobi", "ideal", "packed"])) == ["packed"]


@pytest.mark.parametrize(
    "coordinates", [None, 3, [], [[1, 1]] * 7, [[k, "x"] for k in range(7)], [[math.nan, k] for k in range(7)]]
)
def test_coordinates_that_place_not_every_qubit_are_not_taken(coordinates, tmp_path):
    change = Change("FakeNairobiV2")
    change.calibration.configuration["coords"] = coordinates
    assert chip_of(calibrated(change, tmp_path), "x").coordinates is None


def test_without_blocks_the_layout_in_use_is_the_one_block():
    for name in ("nairobi", "rehearsal"):
        drawn, backend = machine_map(REGISTRY, name, FOUR), REGISTRY[name]
        angles = GateAngles(FOUR.circuit, [*FOUR.input_params, *FOUR.weight_params])
        program = compile_program(backend, angles.circuit, angles.params, FOUR.observables)
        assert drawn.blocks == {program.qubits: backend.success_probability(program)}
        assert sorted([*program.qubits, *drawn.idle_qubits]) == list(range(7))
        assert (drawn.device, drawn.date) == ("fake_nairobi", fake_calibration("FakeNairobiV2").date)
    assert drawn.title.startswith("rehearsal (fake_nairobi), calibrated 20")


def test_blocks_are_those_of_the_machine():
    drawn = machine_map(REGISTRY, "packed", TWO)
    layout = REGISTRY["packed"].block_layout(TWO.circuit, [0, 1])
    assert {block.qubits for block in layout.blocks} == set(drawn.blocks)
    assert len(drawn.blocks) == 2
    mean, worst = f"{sum(drawn.successes) / 2:.1%}", f"{min(drawn.successes):.1%}"
    assert drawn.summary == f"2 blocks of 2 qubits, success probability: mean {mean}, worst {worst}. 3 qubits idle."


def test_machines_of_other_providers_are_mapped_with_what_they_state():
    known, unknown = (machine_map(REGISTRY, name, TWO) for name in ("line", "sparse"))
    assert 0 < known.successes[0] < 1
    assert list(unknown.blocks.values()) == [None]
    assert unknown.summary == "1 block of 2 qubits, success probability unknown. 3 qubits idle."
    assert not unknown.date


def test_what_the_calibration_leaves_out_is_neither_used_nor_idle(tmp_path):
    change = Change("FakeNairobiV2").break_(0).break_(("cx", 4, 5)).break_(("cx", 5, 4))
    drawn = machine_map(calibrated(change, tmp_path), "x", TWO)
    assert drawn.left_out == ("0", "4-5")
    assert drawn.faulty_qubits == (0,)
    assert drawn.faulty_couplings == {(0, 1), (4, 5)}
    assert 0 not in drawn.idle_qubits
    assert 0 not in {qubit for block in drawn.blocks for qubit in block}
    assert drawn.summary.endswith("4 qubits idle, 1 qubit and 1 coupling left out.")


def test_a_coupling_whose_other_direction_works_is_not_left_out(tmp_path):
    change = Change("FakeNairobiV2").break_(("cx", 4, 5))
    assert not machine_map(calibrated(change, tmp_path), "x", TWO).left_out


@pytest.mark.parametrize("name", ["ideal", "rates"])
def test_machines_without_couplings_are_refused(name):
    with pytest.raises(BackendError, match=rf"Backend '{name}' cannot be drawn: it states no couplings .*\.$"):
        machine_map(REGISTRY, name, FOUR)


def test_unknown_machines_are_refused_by_name():
    with pytest.raises(BackendError, match="There is no backend 'nairoby'; did you mean 'nairobi'"):
        machine_map(REGISTRY, "nairoby", FOUR)
