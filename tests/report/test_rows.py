import dataclasses
from itertools import pairwise

import pytest

from qiskit_fedqml import RunResult, run_federation
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.planning.jobs import job_sentence
from qiskit_fedqml.report.bars import bars
from qiskit_fedqml.report.calibrations import calibrations, merged
from qiskit_fedqml.report.clients import client_rows
from qiskit_fedqml.report.cost import cost_rows, device_rows
from qiskit_fedqml.report.curves import round_rows
from qiskit_fedqml.report.machines import machine_rows, rate_tables
from qiskit_fedqml.report.naming import file_names, run_names
from qiskit_fedqml.report.overview import origin_rows, sentence
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.report.work import SERVER
from qiskit_fedqml.tables import duration
from tests.conftest import TINY, make_tiny


def test_machines_share_all_the_work(run):
    rows = {row["Machine"]: row for row in machine_rows("A", run, calibrations("A", run))}
    assert {name: row["Clients"] for name, row in rows.items()} == {"ideal": "0", "manila": "2", "stated": "2"}
    assert sum(int(row["Trainings"]) for row in rows.values()) == sum(len(r.clients) for r in run.rounds)
    assert sum(int(row["Examples"]) for row in rows.values()) == sum(r.examples for r in run.rounds)
    assert rows["stated"]["Success"] == f"{0.8**2:.1%}"  # two qubits are read
    assert rows["manila"]["Made of"] == "simulated, FakeManilaV2"
    assert rows["ideal"]["Share of time"] == rows["ideal"]["Share of average"] == "–"
    assert rows["ideal"]["Success"] == "100.0%"
    shares = [row["Share of average"].removesuffix("%") for row in rows.values() if row["Machine"] != "ideal"]
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.2)
    assert rate_tables({"A": run})[0].rows[-1] == {"Error": "Reads 0 for 1", "Rate": "20.000%"}


def test_calibration_is_of_the_qubits_used(run):
    manila = calibrations("A", run)["manila"]
    rows = manila.qubit_rows()
    assert len(rows) == 2  # the tiny circuit has two qubits, on neighbours
    assert len(manila.coupling_rows()) == 1
    assert all(row["T1"].endswith(" µs") and row["Readout error"].endswith("%") for row in rows)
    both = merged({"A": {"manila": manila}, "B": {"manila": dataclasses.replace(manila, runs=("B",))}})
    assert [c.runs for c in both] == [("A", "B")]
    other = dataclasses.replace(manila, device=f"{manila.device}, error rates × 2")
    assert len(merged({"A": {"manila": manila}, "B": {"manila": other}})) == 2


def test_bars_follow_each_other(run):
    work = bars(run)
    assert max(b.start_seconds + b.seconds for b in work) == pytest.approx(sum(r.seconds for r in run.rounds))
    clients = [b for b in work if b.lane != SERVER]
    assert len(clients) == sum(len(r.clients) for r in run.rounds)
    for before, after in pairwise(clients):
        assert after.start_seconds >= before.start_seconds + before.seconds - 1e-9


def test_devices_work_beside_each_other_and_recorded_starts_are_taken(run):
    machines = {"a": {"type": "ibm", "device": "FakeManilaV2", "shots": 1}, "ideal": {"type": "aer"}}
    experiment = Experiment.model_validate({**TINY, "backends": {"backends": machines}})
    first, second = run.rounds[0].clients
    names = dict(zip((0, 1, 2), ("ideal", "a", "ideal")))
    first = dataclasses.replace(first, seconds=2.0, started_seconds=None)
    clients = [dataclasses.replace(first, id=i, backend=name) for i, name in names.items()]
    clients.append(dataclasses.replace(second, id=3, backend="a", started_seconds=7.0, status="failed: lost"))
    record = dataclasses.replace(run.rounds[0], clients=tuple(clients), seconds=10.0)
    made = RunResult(experiment, run.run, (record,))
    assert [b.start_seconds for b in bars(made)][:4] == [0.0, 0.0, 2.0, 7.0]
    assert [b.is_used for b in bars(made)][:4] == [True, True, True, False]
    assert client_rows({"A": made})[3]["Not averaged"] == "1: failed: lost"


def test_cost_sums_rounds_and_prices_jobs(run):
    row = cost_rows({"A": run})[0]
    assert row["Clients' circuits"] == f"{sum(r.circuits for r in run.rounds):,}"
    price = {"type": "ibm", "device": "ibm_kingston", "shots": 8, "price_per_minute": 60}
    experiment = Experiment.model_validate(
        {**TINY, "backends": {"backends": {"ideal": {"type": "aer"}, "kingston": price}}}
    )
    job = Submission(
        *("tag", JobKey(1, 0, 0, "values"), "", 0, "kingston", "ibm_kingston", "crn", "", {}, 4, 32, 10.0, "done"),
        job_id="id",
        reported_seconds=12.0,
    )
    never_sent = dataclasses.replace(job, tag="other", job_id=None)
    rows = device_rows("A", dataclasses.replace(run, experiment=experiment), [job, never_sent])
    assert [(r["Jobs"], r["QPU time planned"], r["QPU time reported"], r["Price"]) for r in rows] == [
        ("1", "10.0 s", "12.0 s", "US$ 12.00")
    ]
    told = "1 job, 0 of them still open, 0 duplicates; 10.0 s of QPU time planned."
    assert job_sentence([job]) == f"{told} The service reported 12.0 s for 1 job, +20.0% of the plan."
    unknown = dataclasses.replace(job, tag="unknown", reported_seconds=None)
    assert job_sentence([unknown]) == told
    row = device_rows("A", dataclasses.replace(run, experiment=experiment), [job, unknown])[0]
    assert (row["QPU time reported"], row["Price"]) == ("12.0 s of 1 of 2 jobs", "US$ 22.00, in part planned")
    doubled = dataclasses.replace(job, duplicates={"again": "unknown"})
    row = device_rows("A", dataclasses.replace(run, experiment=experiment), [doubled])[0]
    assert row["Price"] == "US$ 22.00, in part planned"


def test_names_tell_runs_apart(tmp_path):
    paths = [tmp_path / "a" / "x", tmp_path / "b" / "x", tmp_path / "y"]
    assert run_names(paths) == ["a/x", "b/x", "y"]
    assert file_names(["a/x", "a_x", "A x", "…"]) == ["a_x", "a_x_2", "A_x_3", "run"]


def test_names_that_cannot_be_shown_stay_apart(tmp_path):
    paths = [tmp_path / "a\udcff", tmp_path / "a\udcfe", tmp_path / "b\nc", tmp_path / "d"]
    assert run_names(paths) == ["a� (1)", "a� (2)", "b�c", "d"]
    with pytest.raises(ConfigurationError, match="must be given once") as error:
        run_names([tmp_path] * 500)
    assert len(str(error.value)) < 2000


def test_sentence(run):
    assert sentence({"A": run}) == (
        "One run of federated training of a hybrid model with a circuit of 2 qubits and 1 layer on digits (2 classes), "
        "tested by the server after each round."
    )


@pytest.mark.parametrize(
    ("dropped", "done"), [(0, "the training data's mean"), (1, "1 row left out"), (1200, "1,200 rows left out")]
)
def test_missing_values_are_shown(run, dropped, done):
    columns = {"missing": {"age": 1200, "bmi": 2}, "dropped_rows": dropped}
    rows = origin_rows({"A": dataclasses.replace(run, run={**run.run, "columns": columns}), "B": run})
    assert {"": "Missing values", "A": f"1,200 of age, 2 of bmi: {done}", "B": "–"} in rows


@pytest.mark.parametrize(
    ("recorded", "shown"),
    [
        (None, "–"),
        ("0123456789abcdef", "0123456789ab"),
        ("0123456789abcdef-dirty", "0123456789ab, with changes"),
        ("v1-beta-3-g0123456789abcdef", "0123456789ab"),
    ],
)
def test_commit_is_short(run, recorded, shown):
    made = dataclasses.replace(run, run={**run.run, "git_commit": recorded})
    assert next(row["A"] for row in origin_rows({"A": made}) if row[""] == "Commit") == shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0.0 s"), (0.04, "40 ms"), (3.21, "3.2 s"), (59.94, "59.9 s"), (59.97, "1 min 0 s"), (3599.7, "1 h 0 min")],
)
def test_durations_are_easy_to_read(seconds, words):
    assert duration(seconds) == words


def test_tuning_set_has_columns_where_there_is_one(run):
    tuned = dataclasses.replace(run.rounds[-1], validation_loss=0.5, validation_accuracy=0.75)
    both = {"A": dataclasses.replace(run, rounds=(*run.rounds[:-1], tuned)), "B": run}
    shown = [(row["Validation loss"], row["Validation accuracy"]) for row in table_rows(both) if row["Training loss"]]
    assert shown == [("0.5000", "75.00%"), ("–", "–")]
    assert round_rows(both)[2]["Validation accuracy"] == "75.00%"
    assert "Validation loss" not in {**table_rows({"B": run})[0], **round_rows({"B": run})[0]}


def test_noise_factor_of_a_saved_calibration_is_said_once(run, tmp_path):
    fake_calibration("FakeManilaV2").save(tmp_path / "saved.json")
    entry = {"type": "aer", "noise": {"calibration": str(tmp_path / "saved.json")}, "noise_factor": 2.0}
    backends = {"backends": {"ideal": {"type": "aer"}, "m": entry}}
    made = dataclasses.replace(run, experiment=make_tiny(backends=backends))
    rows = machine_rows("A", made, calibrations("A", made))
    assert rows[1]["Made of"] == "simulated, fake_manila, error rates × 2"
    assert rows[1]["Success"] != "–"  # although no client was there


def test_noise_factor_is_said_and_acts_on_the_figures():
    def machines(factor):
        entry = {"type": "aer", "noise": "FakeManilaV2", "noise_factor": factor}
        backends = {"backends": {"ideal": {"type": "aer"}, "m": entry}, "assignment": {"default": "m"}}
        run = run_federation(make_tiny(backends=backends, federation__rounds=1))
        found = calibrations("run", run)
        return machine_rows("run", run, found)[1]["Made of"], found["m"].figures["qubits"]

    (plain, once), (scaled, twice) = machines(1.0), machines(2.0)
    assert (plain, scaled) == ("simulated, FakeManilaV2", "simulated, FakeManilaV2, error rates × 2")
    assert once.keys() == twice.keys()
    assert all(twice[q]["t1_seconds"] == pytest.approx(once[q]["t1_seconds"] / 2) for q in once)
    assert all(twice[q]["sx_error"] == pytest.approx(once[q]["sx_error"] * 2) for q in once)
