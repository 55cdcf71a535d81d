"""The simulated clock: queue times, policies, and calibrations that follow each other."""

import math
from dataclasses import replace

import numpy as np
import pytest
import yaml

from qiskit_fedqml import load_experiment, run_federation
from qiskit_fedqml.backends.calibration import Calibration, fake_calibration
from qiskit_fedqml.config.scheduling import SchedulingConfig
from qiskit_fedqml.config.yaml_files import dump_yaml
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.scheduling.policies import Assigned, BestScore, Candidate, ExpectedQueue, ExploreFirst
from qiskit_fedqml.federation.scheduling.queues import LognormalTimes, RecordedTimes
from qiskit_fedqml.federation.scheduling.scheduler import Dispatch
from tests.conftest import TINY

CANDIDATES = [
    Candidate("far", expected_seconds=400.0, success_probability=0.9, age_seconds=0.0),
    Candidate("old", expected_seconds=100.0, success_probability=0.6, age_seconds=7200.0),
    Candidate("bad", expected_seconds=50.0, success_probability=0.1, age_seconds=0.0),
    Candidate("good", expected_seconds=200.0, success_probability=0.88, age_seconds=3600.0),
]


def test_lognormal_times_have_the_stated_median_and_mean():
    times = LognormalTimes(median_seconds=60.0, sigma=0.8)
    drawn = np.array([times.drawn_seconds(0.0, seed) for seed in range(4000)])
    assert np.median(drawn) == pytest.approx(60.0, rel=0.06)
    assert drawn.mean() == pytest.approx(times.expected_seconds(0.0), rel=0.06)
    assert np.log(drawn).std() == pytest.approx(0.8, rel=0.05)
    assert LognormalTimes(60.0, 0.0).drawn_seconds(5.0, 3) == 60.0


def test_recorded_times_hold_from_their_time_on():
    times = RecordedTimes((10.0, 20.0), (5.0, 7.0))
    assert [times.drawn_seconds(now, 0) for now in (0.0, 10.0, 19.9, 20.0, 1e6)] == [5.0, 5.0, 5.0, 7.0, 7.0]


def test_a_trace_is_read_from_a_file_and_kept(tmp_path):
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY | {"scheduling": {"queue": {"trace": "queue.csv"}}}))
    (tmp_path / "queue.csv").write_text("seconds,queue_seconds\n0,60\n3600,7200.5\n")
    found = load_experiment(tmp_path / "tiny.yaml").scheduling
    assert found.queue.trace == ((0.0, 60.0), (3600.0, 7200.5))
    for text, message in (
        ("time,wait\n0,1\n", "first line must be seconds,queue_seconds, but is 'time,wait'"),
        ("", "first line must be seconds,queue_seconds"),
        (
            "seconds,queue_seconds\n0,soon\n",
            r"queue\.csv, line 2: must be two numbers from 0 to 100,000,000, but is '0,soon'",
        ),
        (
            "seconds,queue_seconds\n0,nan\n",
            r"queue\.csv, line 2: must be two numbers from 0 to 100,000,000, but is '0,nan'",
        ),
        ("seconds,queue_seconds\n0," + "1" * 200_000, r"queue\.csv: this is not CSV: field larger than"),
        ('seconds,queue_seconds\n0,"1' + "\n1,1" * 50_000, r"queue\.csv: this is not CSV: field larger than"),
        ("seconds,queue_seconds\n" + "1,1\n" * 250_000, r"queue\.csv: cannot be read: it is larger than"),
    ):
        (tmp_path / "queue.csv").write_text(text)
        with pytest.raises(ConfigurationError, match=message):
            load_experiment(tmp_path / "tiny.yaml")
    (tmp_path / "queue.csv").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_experiment(tmp_path / "tiny.yaml")


def test_as_many_rows_of_traces_as_a_folder_can_keep():
    rows = [[float(time), 1.5] for time in range(5_001)]
    queues = {"ideal": {"trace": rows[1:]}}
    kept = SchedulingConfig.model_validate({"queue": {"trace": rows[1:]}, "queues": queues})
    assert dump_yaml(kept.model_dump(mode="json")), "it checks that the same values are read"
    with pytest.raises(ValueError, match="the traces have 10,001 rows in all, but at most 10,000 can be kept"):
        SchedulingConfig.model_validate({"queue": {"trace": rows}, "queues": queues})


@pytest.mark.parametrize(
    ("policy", "step", "chosen"),
    [
        (Assigned(), 1, "old"),
        (ExpectedQueue(), 1, "bad"),
        (BestScore(1.0, None), 1, "old"),  # 0.6 / 100 beats 0.88 / 200 and 0.1 / 50
        (BestScore(1.0, 3600.0), 1, "far"),  # ages halve: 0.15 / 100, 0.44 / 200, 0.9 / 400
        (BestScore(0.0, 1e9), 1, "bad"),
        (BestScore(5.0, None), 1, "good"),
        (ExploreFirst(3, 0.95), 2, "bad"),
        (ExploreFirst(3, 0.95), 3, "good"),
        (ExploreFirst(3, 1.0), 3, "far"),
    ],
)
def test_policies_choose_by_their_formulas(policy, step, chosen):
    assert policy.choose("old", step, CANDIDATES) == chosen


NOISY = {"type": "aer", "noise": "FakeManilaV2", "shots": 100}
ARRAY = {
    "backends": {"ideal": {"type": "aer"}, "a": NOISY, "b": {"type": "aer", "noise": {"readout": 0.2}}},
    "assignment": {"default": {"cycle": ["a", "b"]}},
}
FIXED = {"lognormal": {"median_seconds": 100, "sigma": 0.0}}


def scheduler_of(tiny, scheduling, **changes):
    experiment = tiny(**{"backends": ARRAY, "scheduling": {"queue": FIXED} | scheduling} | changes)
    return assemble(experiment, None, None)


def test_a_task_waits_and_then_takes_its_jobs_and_executions(tiny):
    changes = {"federation__local_epochs": 3, "federation__batch_size": 4, "federation__clients_per_round": 1}
    array = ARRAY | {"assignment": {"default": "a"}}
    federation = scheduler_of(tiny, {"execution_seconds": 0.001}, **changes, federation__rounds=1, backends=array)
    (record,) = run_federation(federation.experiment).rounds
    (client,) = record.clients
    jobs = 3 * math.ceil(client.examples / 4)
    assert client.arrived_at - client.started_at == pytest.approx(2.0 * jobs + 0.001 * record.executions)
    scheduler = federation.algorithm.setting.scheduler
    first = scheduler.dispatch(Dispatch(0, 0, 0, 50.0), [])
    assert (first.machine, first.dispatched_seconds, first.started_seconds) == ("a", 50.0, 150.0)
    second = scheduler.dispatch(Dispatch(2, 1, 0, 60.0), [first])
    assert second.started_seconds == first.arrives_seconds, "a machine serves its clients one after another"


def test_policies_spread_tasks_and_prefer_what_errs_less(tiny):
    scheduler = scheduler_of(tiny, {"policy": "expected_queue", "job_seconds": 0.0}).algorithm.setting.scheduler
    flights = []
    for number in range(6):
        flights.append(scheduler.dispatch(Dispatch(0, number, 0, 0.0), flights))
    assert sorted(flight.machine for flight in flights) == ["a", "a", "a", "b", "b", "b"]
    best = replace(scheduler, policy=BestScore(20.0, None))
    assert best.dispatch(Dispatch(1, 0, 0, 0.0), []).machine == "a", "client 1 has b, whose readout errs more"


@pytest.fixture
def week(tmp_path):
    """Return three calibrations of a machine that grows worse from day to day."""
    calibration = fake_calibration("FakeManilaV2")
    for day, factor in enumerate((1.0, 2.0, 6.0)):
        worse = calibration.scaled(factor)
        dated = worse.properties | {"last_update_date": f"2026-03-0{day + 1}T00:00:00+00:00"}
        Calibration(worse.configuration, dated).save(tmp_path / f"day{day}.json")
    return {f"day{d}": {"type": "aer", "noise": {"calibration": str(tmp_path / f"day{d}.json")}} for d in range(3)}


def replayed(week, start="2026-03-01T12:00:00Z", later=("day1", "day2")):
    array = {"backends": {"ideal": {"type": "aer"}, **week, "a": NOISY}, "assignment": {"default": "day0"}}
    array["assignment"] = {"default": {"cycle": ["day0", "a"]}}
    return {"backends": array, "scheduling": {"queue": FIXED, "replay": {"start": start, "later": {"day0": later}}}}


def test_the_calibration_in_force_is_that_of_the_time(tiny, week):
    scheduler = assemble(tiny(**replayed(week)), None, None).algorithm.setting.scheduler
    hours = (0.0, 11.9, 12.1, 37.0, 99.0)
    flights = [scheduler.dispatch(Dispatch(0, 0, 0, 3600 * hour), []) for hour in hours]
    assert [flight.backend for flight in flights] == ["day0", "day0", "day1", "day2", "day2"]
    assert {flight.machine for flight in flights} == {"day0"}
    machine = scheduler.machines["day0"]
    assert [machine.age_seconds_at(3600 * hour) / 3600 for hour in hours] == pytest.approx([12, 23.9, 0.1, 1, 63])
    success = [scheduler.facts(entry).success_probability for entry in machine.entries]
    assert success[0] > success[1] > success[2]
    waiting = scheduler.dispatch(Dispatch(0, 0, 0, 3600 * 12 - 50.0), [])
    assert waiting.backend == "day1", "what counts is the time at which the machine works"


def test_run_on_replayed_calibrations_is_repeated_and_says_which_was_used(tiny, week):
    slow = {"queue": {"lognormal": {"median_seconds": 28_000, "sigma": 0.5}}}
    shape = replayed(week, start="2026-02-28T12:00:00Z")
    shape["scheduling"] |= slow
    experiment = tiny(
        **shape,
        **{"federation__algorithm": {"buffered": {"buffer": 2}}, "federation__rounds": 9, "federation__clients": 6},
    )
    first, again = run_federation(experiment), run_federation(experiment)
    assert [r.without_times() for r in first.rounds] == [r.without_times() for r in again.rounds]
    used = {client.backend: client.success_probability for record in first.rounds for client in record.clients}
    assert used.keys() == {"a", "day0", "day1", "day2"}
    assert used["day0"] > used["day1"] > used["day2"]


def test_calibrations_must_follow_each_other(tiny, week):
    with pytest.raises(ConfigurationError, match=r"calibration of 'day1' .* must be later than that of 'day2'"):
        assemble(tiny(**replayed(week, later=("day2", "day1"))), None, None)


QUEUE = {"queue": FIXED}
TWO = {"backends": ARRAY}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scheduling": {"queue": {"normal": {}}}}, r"queue\n  must be \{lognormal"),
        ({"scheduling": {"queue": {"trace": [[0, 1], [0, 2]]}}}, "times must increase, but 0 comes after 0"),
        ({"scheduling": {"queue": {"trace": []}}}, "at least 1 item"),
        ({"scheduling": QUEUE | {"policy": "fastest"}}, r"policy\n  must be assigned, expected_queue"),
        ({"scheduling": QUEUE | {"policy": {"best": {"success_exponent": 0}}}}, "is the policy expected_queue"),
        ({"scheduling": QUEUE | {"policy": "expected_queue"}, "backends": {"backends": {"ideal": {"type": "aer"}}}},
         "policy has no effect where all clients have the same machine"),
        (TWO | {"scheduling": QUEUE | {"queues": {"c": FIXED}}}, "queues names 'c', which is no machine"),
        (TWO | {"scheduling": QUEUE | {"queues": {"a": FIXED, "b": FIXED}}}, "scheduling.queue has no effect"),
        (TWO | {"scheduling": QUEUE | {"replay": {"start": "soon", "later": {"a": ["b"]}}}}, "must be a date such as"),
        (TWO | {"scheduling": QUEUE | {"replay": {"start": "2026-01-01", "later": {"a": ["a"]}}}}, "each entry has"),
        (TWO | {"scheduling": QUEUE | {"replay": {"start": "2026-01-01", "later": {"a": ["b"]}}}}, "names b, which cl"),
        (TWO | {"scheduling": QUEUE | {"replay": {"start": "2026-01-01", "later": {"a": ["x"]}}}}, "the backend 'x'"),
        (TWO | {"scheduling": QUEUE | {"replay": {"start": "2026-01-01", "later": {"a": ["ideal"]}}}}, "'ideal' has"),
        ({"scheduling": QUEUE, "model__quantum": "classical"}, "which runs no circuit"),
        ({"scheduling": QUEUE, "federation__algorithm": {"python": "a:b"}}, "with an algorithm of your own"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tiny, changes, message):
    with pytest.raises(ValueError, match=message):
        tiny(**changes)


def test_devices_have_their_own_time(tiny):
    device = {"type": "ibm", "device": "FakeManilaV2", "shots": 16}
    array = {"backends": {"ideal": {"type": "aer"}, "a": device}, "assignment": {"default": "a"}}
    with pytest.raises(ValueError, match="simulates the time of simulated machines, but a has its own"):
        tiny(backends=array, scheduling=QUEUE)
    chip = {"backends": {"ideal": {"type": "aer"}, "a": NOISY | {"blocks": "auto"}, "b": NOISY}}
    chip["assignment"] = {"default": {"cycle": ["a", "b"]}}
    with pytest.raises(ValueError, match="blocks of clients stay with their machine, so a cannot be scheduled"):
        tiny(backends=chip, scheduling=QUEUE | {"policy": "expected_queue"})
