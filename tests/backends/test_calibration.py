import json

import pytest
from qiskit_ibm_runtime import fake_provider
from qiskit_ibm_runtime.models import BackendProperties, QasmBackendConfiguration
from qiskit_ibm_runtime.utils.backend_converter import convert_to_target

from qiskit_fedqml.backends.calibration import Calibration, calibration_of, fake_calibration, load_calibration
from qiskit_fedqml.errors import BackendError
from tests.backends.calibrations import READOUT, Change

FAKE_DEVICES = [n for n in dir(fake_provider) if n.startswith("Fake") and not n.startswith("FakeProvider")]


def contents(target):
    """Return all that a target says, comparable."""
    instructions = {
        (name, on): of and (of.error, of.duration) for name in target.operation_names for on, of in target[name].items()
    }
    qubits = [(q.t1, q.t2, q.frequency) for q in target.qubit_properties]
    return instructions, qubits, target.dt, target.timing_constraints().__dict__, target.num_qubits


@pytest.mark.parametrize(
    "names",
    [["FakeManilaV2", "FakeQuitoV2", "FakeFractionalBackend"], pytest.param(FAKE_DEVICES, marks=pytest.mark.slow)],
)
def test_a_complete_calibration_is_used_as_it_is(names):
    for name in names:
        calibration = fake_calibration(name)
        configuration, properties = json.loads(json.dumps([calibration.configuration, calibration.properties]))
        published = convert_to_target(
            QasmBackendConfiguration.from_dict(configuration),
            BackendProperties.from_dict(properties),
            include_control_flow=False,
        )
        assert contents(calibration.target) == contents(published)
        # FakeKingston's qubit 146 has neither T1 nor T2, but all errors.
        assert not calibration.gaps.left_out()
        assert list(calibration.gaps.relaxation) == ([146] if name == "FakeKingston" else [])


@pytest.mark.parametrize(
    ("change", "left_out"),
    [
        (Change().break_(0), "qubit 0 (not operational)"),
        (Change().drop(4, *READOUT), "qubit 4 (no published readout error)"),
        (Change().drop(4, "readout_error", "prob_meas1_prep0"), "qubit 4 (no published readout error)"),
        (Change().set(4, "readout_error", value=None).drop(4, *READOUT[1:]), "qubit 4 (no published readout error)"),
        (Change().drop(("sx", 0), "gate_error"), "qubit 0 (no published error of sx)"),
        (Change().break_(("x", 0)), "qubit 0 (x not operational)"),
        (Change().drop_gate(("cx", 0, 1)), "cx on 0-1 (no published error)"),
        (Change().set(("cx", 0, 1), "gate_error", value=None), "cx on 0-1 (no published error)"),
        (Change().break_(("cx", 1, 0)), "cx on 1-0 (not operational)"),
        (Change().drop(("id", 2), "gate_error"), "id on 2 (no published error)"),
        (Change().drop_everywhere("x", "gate_error"), "x on any qubit (no published error)"),
    ],
)
def test_what_is_broken_or_has_no_published_error_is_left_out(change, left_out):
    gaps, target = change.calibration.gaps, change.calibration.target
    assert gaps.left_out() == left_out
    assert str(gaps) == f"left out: {left_out}"
    gone = [(name, on) for (name, on) in gaps.gates if on]
    for name, on in gone:
        assert on not in target[name]
    for name in ("sx", "x", "cx", "rz"):
        of = target[name] if name in target.operation_names else {}
        assert gaps.qubits.keys().isdisjoint(q for on in of for q in on)
        assert all(properties.error is not None for properties in of.values())
    assert target.num_qubits == 5
    assert [q.t1 for q in target.qubit_properties] == [q.t1 for q in Change().calibration.target.qubit_properties]


def test_virtual_gates_need_no_published_error():
    change = Change().drop_everywhere("rz", "gate_error")
    change.drop_gate(("rz", 3))
    assert not change.calibration.gaps
    assert (3,) in change.calibration.target["rz"]


def test_a_gate_whose_couplings_are_all_left_out_is_not_one_on_any_qubits():
    change = Change()
    for broken in (1, 3):
        change.break_(broken)
    assert "cx" not in change.calibration.target.operation_names


def test_reset_that_does_not_work_leaves_its_qubit_in_use():
    change = Change().break_(("reset", 1))
    assert not change.calibration.gaps.qubits
    assert (1,) not in change.calibration.target["reset"]
    assert (0,) in change.calibration.target["reset"]


def test_long_lists_are_cut():
    change = Change("FakeKolkataV2")
    for qubit in range(20):
        change.break_(qubit)
    assert change.calibration.gaps.left_out() == "qubits 0, 1, 2, 3, 4, 5 and 14 others (not operational)"


def test_the_readout_error_is_the_mean_of_its_probabilities():
    change = Change().set(1, "prob_meas1_prep0", value=0.02).set(1, "prob_meas0_prep1", value=0.06)
    change.drop(1, "readout_error")
    assert change.calibration.readout_probabilities(1) == (0.02, 0.06)
    assert change.calibration.target["measure"][(1,)].error == pytest.approx(0.04)
    one = (
        Change().drop(1, "prob_meas1_prep0").set(1, "readout_error", value=0.05).set(1, "prob_meas0_prep1", value=0.06)
    )
    assert one.calibration.readout_probabilities(1) == (0.05, 0.06)
    with pytest.raises(BackendError, match="has no readout error of qubit 1"):
        Change().drop(1, *READOUT).calibration.readout_probabilities(1)


@pytest.mark.parametrize(
    ("of", "name", "changes", "message"),
    [
        (("sx", 3), "gate_error", {"value": -5}, "gate_error of sx on qubit 3 must be a probability.*but is -5"),
        (("cx", 0, 1), "gate_error", {"value": float("nan")}, "gate_error of cx on qubits 0-1 .*but is nan"),
        (("cx", 0, 1), "gate_error", {"value": 1.2}, "gate_error of cx on qubits 0-1 .*but is 1.2"),
        (("cx", 0, 1), "gate_error", {"value": 1, "unit": "%"}, "gate_error of cx on qubits 0-1"),
        (("cx", 0, 1), "gate_error", {"value": True}, "gate_error of cx on qubits 0-1 .*but is True"),
        (("cx", 0, 1), "gate_error", {"value": "0.1"}, "gate_error of cx on qubits 0-1 .*but is '0.1'"),
        (("cx", 0, 1), "gate_length", {"value": -1}, "gate_length of cx on qubits 0-1 must be a time of at least 0"),
        (("cx", 0, 1), "gate_length", {"value": float("inf")}, "gate_length of cx on qubits 0-1"),
        (("cx", 0, 1), "gate_length", {"unit": "dt"}, "gate_length of cx on qubits 0-1 .*'dt'"),
        (0, "T1", {"value": 0}, "T1 of qubit 0 must be a time above 0 .*but is 0 us"),
        (0, "T1", {"unit": ""}, "T1 of qubit 0"),
        (0, "T2", {"value": -5.0}, "T2 of qubit 0 .*but is -5.0 us"),
        (0, "T2", {"value": float("nan")}, "T2 of qubit 0"),
        (0, "T2", {"value": [1]}, "T2 of qubit 0"),
        (2, "prob_meas0_prep1", {"value": 1.5}, "prob_meas0_prep1 of qubit 2"),
        (2, "readout_error", {"value": float("nan")}, "readout_error of qubit 2"),
        (2, "readout_length", {"value": -1}, "readout_length of qubit 2"),
    ],
)
def test_figures_that_no_device_can_have_are_refused(of, name, changes, message):
    with pytest.raises(BackendError, match=f"The calibration of fake_manila cannot be used: {message}"):
        _ = Change().set(of, name, **changes).calibration.target


def broken(change):
    properties = change.calibration.properties
    yield "last_update_date must be a date", {**properties, "last_update_date": "yesterday"}
    yield "last_update_date must be a date", {**properties, "last_update_date": None}
    yield "figures are of 4 qubits, but the device has 5", {**properties, "qubits": properties["qubits"][:4]}
    yield "its qubits must be a list", {**properties, "qubits": "many"}
    yield "the figures of qubit 0 must be a list", {**properties, "qubits": [None, *properties["qubits"][1:]]}
    yield "a figure of qubit 0 must be an object", {**properties, "qubits": [[None], *properties["qubits"][1:]]}
    yield "its gates must be a list", {**properties, "gates": None}
    yield "a gate must be an object", {**properties, "gates": [None]}
    yield (
        "x on qubit 0 is listed twice",
        {**properties, "gates": [g for g in properties["gates"] if (g["gate"], g["qubits"]) == ("x", [0])] * 2},
    )
    for qubits in ([0, 5], [0, 0], [0, None], [], [True, 0], "01", [[0], 1]):
        entry = {"gate": "cx", "qubits": qubits, "parameters": []}
        yield "the qubits of cx must be different numbers from 0 to 4", {**properties, "gates": [entry]}
    yield "the figures of cx on qubits 0-1 must be a list", {**properties, "gates": [{"gate": "cx", "qubits": [0, 1]}]}
    yield (
        "T1 of qubit 0 is listed twice",
        {**properties, "qubits": [properties["qubits"][0] * 2, *properties["qubits"][1:]]},
    )
    yield (
        "operational of qubit 0 must be 0 or 1",
        {**properties, "qubits": [[{"name": "operational", "value": "no"}], *properties["qubits"][1:]]},
    )


@pytest.mark.parametrize(("message", "properties"), list(broken(Change())))
def test_properties_of_another_form_are_refused(message, properties):
    with pytest.raises(BackendError, match=f"calibration of fake_manila cannot be used: .*{message}"):
        _ = Calibration(Change().calibration.configuration, properties).target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_qubits": 10**9}, "figures are of 5 qubits, but the device has 1000000000"),
        ({"n_qubits": 5.0}, "n_qubits must be a whole number from 1, but is 5.0"),
        ({"basis_gates": [None]}, "basis_gates must be names, but one is None"),
        ({"basis_gates": None}, "basis_gates must be a list"),
        ({"gates": [{"name": "cx", "coupling_map": [[0, 7]]}]}, "cx must be on qubits from 0 to 4"),
        ({"gates": [None]}, "must be an object with `name`"),
        ({"backend_version": None, "gates": [{"name": "cx"}]}, "is not in IBM's format"),
    ],
)
def test_configurations_of_another_form_are_refused(changes, message):
    calibration = Change().calibration
    with pytest.raises(BackendError, match=f"calibration of fake_manila .*{message}"):
        _ = Calibration({**calibration.configuration, **changes}, calibration.properties).target


def test_units_are_what_they_say():
    seconds = Change().calibration.target.qubit_properties[0].t1
    microseconds = seconds * 1e6
    for unit, value in (
        ("us", microseconds),
        ("μs", microseconds),
        ("µs", microseconds),
        ("ns", seconds * 1e9),
        ("s", seconds),
    ):
        target = Change().set(0, "T1", value=value, unit=unit).calibration.target
        assert target.qubit_properties[0].t1 == pytest.approx(seconds)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_factors_that_are_none(factor):
    with pytest.raises(BackendError, match="Argument `factor` must be a number above 0"):
        Change().calibration.scaled(factor)


def test_scaling_leaves_what_is_not_published():
    change = Change().set(1, "T1", value=None).set(1, "readout_error", value=None).drop_gate(("cx", 0, 1))
    scaled = change.calibration.scaled(2.0)
    assert scaled.gaps == change.calibration.gaps
    assert scaled.target.qubit_properties[1].t1 is None


@pytest.mark.parametrize(
    "text",
    [b"\xff", b"[" * 100_000, b'{"configuration": ' + b"9" * 5000 + b"}", b'{"configuration": 3, "properties": 4}'],
)
def test_files_that_are_no_calibration(tmp_path, text):
    path = tmp_path / "c.json"
    path.write_bytes(text)
    with pytest.raises(BackendError, match="is not a calibration|is not UTF-8") as error:
        load_calibration(path)
    assert len(str(error.value)) < 500


def test_files_that_cannot_be_read_or_written(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(BackendError, match="cannot be read"):
            load_calibration(path)
    for path in (tmp_path, tmp_path / "no" / "c.json", tmp_path / "\0", tmp_path / ("c" * 300)):
        with pytest.raises(BackendError, match="cannot be written"):
            Change().calibration.save(path)
    assert not list(tmp_path.iterdir())


def test_a_file_whose_figures_are_impossible_is_refused_when_it_is_read(tmp_path):
    Change().set(("sx", 0), "gate_error", value=-5.0).calibration.save(tmp_path / "c.json")
    with pytest.raises(BackendError, match="gate_error of sx on qubit 0"):
        load_calibration(tmp_path / "c.json")


class Device:
    """A device of IBM as qiskit-ibm-runtime has it: it keeps its properties, and makes its target of them."""

    def __init__(self, calibration):
        configuration, properties = json.loads(json.dumps([calibration.configuration, calibration.properties]))
        self.name = calibration.device
        self._configuration = QasmBackendConfiguration.from_dict(configuration)
        self._properties = BackendProperties.from_dict(properties)

    def configuration(self):
        return self._configuration

    def properties(self):
        return self._properties

    @property
    def target(self):
        return convert_to_target(self._configuration, self._properties)


def test_marks_of_what_does_not_work_do_not_stop_a_device():
    device = Device(Change().break_(0).break_(("cx", 1, 2)).calibration)
    calibration = calibration_of(device)
    assert device.target.num_qubits == 5
    assert calibration.gaps.left_out() == "qubit 0 (not operational), cx on 1-2 (not operational)"
    assert calibration_of(Device(calibration)).target.num_qubits == 5


def test_a_device_without_calibration():
    device = Device(Change().calibration)
    device._properties = None
    with pytest.raises(BackendError, match="fake_manila publishes no calibration"):
        calibration_of(device)
