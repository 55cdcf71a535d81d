"""Records as lines: small, without loss, read when they are asked for, and appended to in constant time."""

import json
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qiskit_fedqml import RunResult, run_federation
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.results import record_log, stored_records
from qiskit_fedqml.results.proof import Proof
from qiskit_fedqml.results.record_lines import line_of, pack_clients, record_of, unpack_clients
from qiskit_fedqml.results.record_log import RecordLog, open_records, open_unproved
from qiskit_fedqml.results.records import ClientRecord, RoundRecord
from qiskit_fedqml.results.stored_records import Kept

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3)
)
CLIENT = ClientRecord(7, "ideal", "sweep", 20, 0.1 + 0.2, 0.5, Status.OK, share=1 / 3, blocks=("0-1", "4-5"))


def record(number, clients=(CLIENT,)):
    return RoundRecord(
        **{"round": number, "train_loss": 0.1 * number, "test_loss": 1 / (number + 1), "test_accuracy": 0.5},
        **{"validation_loss": None, "validation_accuracy": None, "evaluations": {"noisy": {"test_loss": 0.3}}},
        **{"examples": 40, "circuits": 2, "executions": 2, "bytes_up": 1, "bytes_down": 1, "seconds": 0.25},
        **{"evaluation_seconds": 0.125, "peak_memory_bytes": None, "clients": tuple(clients)},
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.one_of(VALUES, st.lists(VALUES, max_size=2)))))
def test_columns_lose_nothing(clients):
    packed = json.loads(json.dumps(pack_clients(clients)))
    found = unpack_clients(packed)
    assert [sorted(map(repr, client.items())) for client in found] == [sorted(map(repr, c.items())) for c in clients]


def test_a_record_is_its_line_and_what_all_clients_share_is_said_once():
    clients = [replace(CLIENT, id=n, train_loss=n / 7, blocks=("0-1",) if n % 2 else ()) for n in range(1000)]
    clients[3] = replace(clients[3], status=Status.FAILED, reason="offline: too late", train_loss=None)
    whole = record(1, clients)
    line = line_of(whole)
    assert record_of(line, 1, "line 1", is_proved=False) == whole
    assert len(line) < 40 * len(clients)
    assert line.count(b'"ideal"') == 1


@pytest.mark.parametrize("is_proved", [True, False])
def test_lines_of_before_are_read(is_proved):
    whole = record(2, [CLIENT, replace(CLIENT, id=9)])
    assert record_of(json.dumps(whole.as_json()).encode(), 2, "line 2", is_proved=is_proved) == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "its format 3 is not known to this version"),
        ({"clients": {"count": 2, "columns": {"id": {"each": [1]}}}}, "line 2 is damaged"),
        ({"clients": {"count": 1, "columns": {"id": {"of": [], "at": [4]}}}}, "line 2 is damaged"),
        ({"clients": [1]}, "line 2 is damaged"),
        ({"clients": {"count": -1}}, "line 2 is damaged"),
        ({"round": 3}, "line 2 must be round 2, but is 3"),
    ],
)
def test_what_is_no_record_is_refused(change, message):
    values = json.loads(line_of(record(2)))
    with pytest.raises(ResultError, match=message):
        record_of(json.dumps({**values, **change}).encode(), 2, "line 2", is_proved=True)


@pytest.fixture
def log(tmp_path):
    log = RecordLog(tmp_path / "rounds.jsonl")
    for number in range(1, 11):
        log.append(record(number))
    return log


def test_many_records_are_a_sequence_that_reads_no_line_before_it_is_asked_for(log, monkeypatch):
    monkeypatch.setattr(record_log, "_BYTES_AT_ONCE", 0)
    read = []
    original = stored_records.record_of
    monkeypatch.setattr(stored_records, "record_of", lambda *a, **k: read.append(a[1]) or original(*a, **k))
    records = open_records(log.path, [log.proof])
    assert len(records) == 10
    assert read == []
    assert records[-1] == record(10)
    assert records[3:5] == (record(4), record(5))
    assert [r.round for r in records[::-1][::4][::-1]] == [2, 6, 10]
    assert read == [10, 4, 5, 2, 6], "each line is read once"
    assert tuple(record(n) for n in range(1, 11)) == records
    assert records == pickle.loads(pickle.dumps(records))
    assert records != records[:9]
    assert records != 5
    with pytest.raises(IndexError):
        records[10]


def test_only_so_many_are_kept(log, monkeypatch):
    room = 4 * len(line_of(record(1))) - 1
    records = open_records(log.path, [log.proof])
    records._kept = Kept(room)
    for _ in range(2):
        assert [r.round for r in records] == list(range(1, 11))
    assert len(records._kept.records) == 3
    monkeypatch.setattr(record_log, "_MOST_BYTES_KEPT", room)
    small = RecordLog(log.path.with_name("other"))
    for number in range(1, 11):
        small.append(record(number))
    assert len(small.records._kept.records) == 3
    assert small.records == records


def test_lines_that_change_while_they_are_open_are_refused(log, monkeypatch):
    monkeypatch.setattr(record_log, "_BYTES_AT_ONCE", 0)
    records = open_records(log.path, [log.proof])
    content = log.path.read_bytes()
    log.path.write_bytes(content.replace(b'"examples":40', b'"examples":41'))
    with pytest.raises(ResultError, match=r"line 1 has changed since the run was loaded; load it again\.$"):
        list(records)
    with pytest.raises(ResultError, match="first 10 lines are not those of this run"):
        open_records(log.path, [log.proof])


def test_a_proof_of_more_proves_fewer(log):
    assert [r.round for r in open_records(log.path, [Proof(4, 9, "0"), log.proof], 4)] == [1, 2, 3, 4]
    log.take_up(4)
    early = log.proof
    log.cut()
    log.append(record(5))
    assert len(open_records(log.path, [early])) == 4
    assert open_records(log.path, [log.proof]) == log.records


def test_records_are_rewritten_from_their_own_file(log):
    announced = []
    log.rewrite((replace(r, qpu_seconds=1.0) for r in open_records(log.path, [log.proof])), announced.append)
    assert announced == [log.proof]
    assert [r.qpu_seconds for r in open_records(log.path, [log.proof])] == [1.0] * 10
    assert log.records == open_records(log.path, [log.proof])


def test_what_nothing_proves_is_checked_at_once(log):
    with log.path.open("ab") as file:
        file.write(b'{"round": 11')
    assert len(open_unproved(log.path)) == 10
    with log.path.open("ab") as file:
        file.write(b"}\n")
    with pytest.raises(ResultError, match="line 11 is damaged"):
        open_unproved(log.path)


def test_a_run_in_a_folder_has_its_records_in_memory_while_they_are_few(tiny, tmp_path):
    result = run_federation(tiny(), tmp_path / "run")
    loaded = RunResult.load(tmp_path / "run")
    (tmp_path / "run" / "rounds.jsonl").unlink()
    assert [r.round for r in result.rounds] == [1, 2]
    assert loaded.rounds == result.rounds
