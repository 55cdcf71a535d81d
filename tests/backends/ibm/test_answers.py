"""Answers that are malformed: asked for again, an error in the end, and nothing of them in the journal."""

import json

import numpy as np
import pytest
from qiskit.primitives import DataBin, PrimitiveResult, PubResult
from qiskit_ibm_runtime import RuntimeEncoder

from qiskit_fedqml.errors import JobError
from tests.backends.conftest import Client

RESULTS = "GET /jobs/[^/]+/results"
NO_JSON = {
    "cut off": lambda text: text[: len(text) // 2],
    "cut off at its end": lambda text: text[:-1],
    "another text": lambda text: "no JSON",
    "a page": lambda text: "<html><body>Bad gateway</body></html>",
    "null": lambda text: "null",
    "a list": lambda text: "[]",
    "an object": lambda text: "{}",
    "a number": lambda text: "5",
    "a string": lambda text: '"done"',
    "nested too deeply": lambda text: "[" * 100_000,
    "bytes": lambda text: "\x00\x01\ufffd",
}


def changed(change):
    """Return a function that changes the JSON of a text."""

    def edit(text):
        data = json.loads(text)
        change(data)
        return json.dumps(data)

    return edit


def without(key):
    return changed(lambda data: data.pop(key))


def item(**values):
    """Return a function that changes the bits of an executor's only item."""
    return changed(lambda data: data["data"][0]["results"]["_meas"].update(values))


def two_pubs(data):
    data["passthrough_data"]["post_processor"]["num_pubs"] = 2
    data["passthrough_data"]["post_processor"]["circuits_metadata"] = [None, None]
    data["passthrough_data"]["qiskit_mitigation"] *= 2
    data["data"] *= 2


EXECUTOR = {
    "no version": without("schema_version"),
    "another version": changed(lambda data: data.update(schema_version="v99")),
    "no data": without("data"),
    "no item": changed(lambda data: data["data"].clear()),
    "an item without bits": changed(lambda data: data["data"][0]["results"].clear()),
    "an item without results": changed(lambda data: data["data"][0].pop("results")),
    "nothing to read it by": without("passthrough_data"),
    "no role": without("semantic_role"),
    "bits of fewer axes": item(shape=[32, 5]),
    "fewer bits than their shape": item(shape=[1, 1, 64, 5]),
    "bits of another type": item(dtype="float64"),
    "bits that are no bits": item(data="nonsense"),
    "two PUBs": changed(two_pubs),
}


def answer(*evs):
    """Return the text of a legacy estimator's result with these values, one PUB for each."""
    pubs = [PubResult(DataBin(evs=value, shape=np.shape(value))) for value in evs]
    text = json.dumps(PrimitiveResult(pubs), cls=RuntimeEncoder)
    return lambda _: text


RIGHT = np.zeros((2, 1, 1))
ESTIMATOR = {
    "NaN": answer(np.full((2, 1, 1), np.nan)),
    "one NaN of two": answer(np.array([0.5, np.nan]).reshape(2, 1, 1)),
    "infinity": answer(np.full((2, 1, 1), np.inf)),
    "another shape": answer(np.zeros((2, 1, 3))),
    "samples and points exchanged": answer(np.zeros((1, 1, 2))),
    "fewer axes": answer(np.zeros(2)),
    "one number": answer(0.5),
    "complex numbers": answer(np.zeros((2, 1, 1), complex)),
    "texts": answer([[["0.5"]], [["0.5"]]]),
    "truth values": answer(np.zeros((2, 1, 1), bool)),
    "no PUB": answer(),
    "two PUBs": answer(RIGHT, RIGHT),
    "no values": lambda _: json.dumps(PrimitiveResult([PubResult(DataBin(shape=(2, 1, 1)))]), cls=RuntimeEncoder),
}
CASES = [
    *(("executor", name, edit) for name, edit in (NO_JSON | EXECUTOR).items()),
    *(("estimator", name, edit) for name, edit in (NO_JSON | ESTIMATOR).items()),
]
SLOW = {(primitive, name) for primitive in ("executor", "estimator") for name in NO_JSON if name != "cut off"}


@pytest.fixture(scope="module")
def value():
    """What one sample gives when nothing goes wrong, by primitive."""
    return {
        primitive: Client(device="FakeManilaV2", layout_trials=1, primitive=primitive).ask(rows=1, jacobian=False)
        for primitive in ("executor", "estimator")
    }


def ask(client, round=1):
    return client.ask(round=round, rows=1, jacobian=False)


@pytest.mark.parametrize(
    ("primitive", "name", "edit"),
    [pytest.param(*case, id="-".join(case[:2]), marks=pytest.mark.slow if case[:2] in SLOW else ()) for case in CASES],
)
def test_malformed_results_are_read_again(server, value, primitive, name, edit):
    client = Client.quick(primitive=primitive, waiting={"outage_seconds": 0.5})
    server.faults.edit(RESULTS, edit)
    given = ask(client)
    assert np.array_equal(given, value[primitive])
    assert sum(path.endswith("/results") for _, path in server.requests) == 2
    (submission,) = client.journal.all()
    assert submission.state == "done"
    assert np.array_equal(client.journal.result(submission.tag).ravel(), given)
    assert len(server.jobs) == 1


MALFORMED = [
    "",
    "no JSON",
    "null",
    "[]",
    "{}",
    "5",
    '"text"',
    '{"id": 5}',
    '{"jobs": null, "count": 1}',
    "<html></html>",
]
ANSWERS = {
    "the device's state": "GET /backends/ibm_manila/status",
    "what the account has left": "GET /instances/usage",
    "a new batch": "POST /sessions",
    "a submission": "POST /jobs",
    "jobs by tag": "GET /jobs",
    "a job's state": "GET /jobs/[^/]+",
    "a charge": "GET /jobs/[^/]+/metrics",
    "a calibration": "GET /backends/ibm_manila/properties",
    "a device's configuration": "GET /backends/ibm_manila/configuration",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", ANSWERS)
def test_any_malformed_answer_is_asked_for_again(server, value, outcome, what):
    """Ten kinds of nonsense in the place of each answer, carried out or not."""
    num_rounds = 0
    for body in MALFORMED:
        for processed in (False, True):
            server.reset()
            client = Client.quick(waiting={"outage_seconds": 0.5})
            server.faults.answer(ANSWERS[what], status=200, body=body, processed=processed)
            client.backend.refresh()
            with client.backend.together():
                assert np.array_equal(ask(client), value["executor"]), body
            client.backend.settle()
            (submission,) = client.journal.all()
            assert [job.id for job in server.jobs] == [submission.job_id]
            assert submission.reported_seconds == pytest.approx(server.jobs[0].quantum_seconds)
            num_rounds += 1
    outcome(f"nonsense in the place of {what}", f"{num_rounds} rounds, each with 1 job, no duplicate")


def test_malformed_answer_to_a_submission_that_was_accepted(server, value):
    server.faults.answer("POST /jobs", status=200, body={"id": None, "backend": "ibm_manila"}, processed=True)
    client = Client.quick()
    assert np.array_equal(ask(client), value["executor"])
    (submission,) = client.journal.all()
    assert [job.id for job in server.jobs] == [submission.job_id]


@pytest.mark.parametrize("seconds", [-1.0, "5", True, None, [], float("nan")])
def test_charge_that_is_no_number_is_not_written_down(server, seconds):
    usage = {"status": "complete", "qpu_charge_time_seconds": seconds}
    server.faults.answer("GET /jobs/[^/]+/metrics", status=200, body={"usage": usage}, times=2)
    client = Client.quick()
    ask(client)
    (submission,) = client.journal.all()
    assert submission.reported_seconds is None
    client.backend.settle()
    (submission,) = client.journal.all()
    assert submission.reported_seconds == pytest.approx(server.jobs[0].quantum_seconds)


@pytest.mark.parametrize(
    ("primitive", "edit", "why"),
    [
        ("executor", NO_JSON["cut off"], r"the service's answer cannot be read \(\w+\)"),
        ("executor", EXECUTOR["no data"], r"the service's answer cannot be read \(ValidationError\)"),
        ("executor", EXECUTOR["two PUBs"], "the job's results hold 2 PUBs, not 1"),
        ("estimator", ESTIMATOR["one NaN of two"], "1 of the 2 values in the job's results are not finite"),
        ("estimator", ESTIMATOR["another shape"], r"must be of shape \(1, 1, 2\) and type float64, but are of shape"),
        ("estimator", ESTIMATOR["texts"], "must be an array of real numbers with three axes, but are of type <U3"),
        ("estimator", NO_JSON["nested too deeply"], r"cannot be read \(RecursionError\)"),
    ],
)
def test_results_that_stay_malformed_end_with_the_outage(server, value, tmp_path, primitive, edit, why):
    """Nothing of them is in the journal. What cannot be read is asked for again by a resumed run, without a new job; a
    job whose results can be read, but are wrong, is sent again."""
    client = Client.quick(tmp_path / "j", primitive=primitive, waiting={"outage_seconds": 0.2})
    server.faults.edit(RESULTS, edit, times=1000)
    with pytest.raises(JobError, match=rf"'mine', round 1, client 4, train step 0, job \w+: .*{why}") as error:
        ask(client)
    assert "for 0.2 s" in str(error.value)
    assert str(error.value).endswith(".")
    is_readable = "results" in why or "must" in why
    (submission,) = client.journal.all()
    assert submission.state == ("failed" if is_readable else "sent")
    assert client.journal._fetch("SELECT result FROM submissions", ()) == [(None,)]
    server.faults.clear()
    resumed = Client.quick(tmp_path / "j", primitive=primitive)
    assert np.array_equal(ask(resumed), value[primitive])
    assert len(server.jobs) == (2 if is_readable else 1)
    assert resumed.journal.spent_seconds() == pytest.approx(sum(job.quantum_seconds for job in server.jobs))
