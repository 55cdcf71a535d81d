import sqlite3
import threading

import numpy as np
import pytest

from qiskit_fedqml.backends.devices.journal import Journal, Submission
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.errors import ResultError

KEY = JobKey(2, 7, 3, "train")
ANGLES = np.linspace(0, 1, 6).reshape(2, 3)


def submission(journal, key=KEY, part="", attempt=0, seconds=2.5):
    return Submission(
        journal.tag("mine", key, part, attempt),
        *(key, part, attempt, "mine", "ibm_x", "crn", "print", {"shifted": [1]}, 5, 50, seconds, "intended"),
    )


def test_life_of_a_submission(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    assert journal.latest("mine", KEY, "") is None
    journal.intend(written := submission(journal), ANGLES)
    assert journal.latest("mine", KEY, "") == written
    assert journal.open() == [written]
    journal.sent(written.tag, "job-1")
    again = Journal(tmp_path / "journal.sqlite")
    assert (again.run_id, again.tag("mine", KEY, "", 0)) == (journal.run_id, written.tag)
    assert again.latest("mine", KEY, "").job_id == "job-1"
    values = np.random.default_rng(0).normal(size=(2, 3, 1))
    again.done(written.tag, values)
    assert np.array_equal(again.angles(written.tag), ANGLES)
    assert journal.uncharged_seconds("crn") == 2.5
    assert [s.tag for s in journal.unsettled("mine")] == [written.tag]
    again.reported(written.tag, 2.0)
    assert journal.uncharged_seconds("crn") == 0
    assert journal.unsettled("mine") == []
    assert np.array_equal(journal.result(written.tag), values)
    assert journal.latest("mine", KEY, "").state == "done"
    assert journal.open() == []
    assert journal.spent_seconds() == 2.0


def test_attempts_parts_and_the_server_are_kept_apart():
    journal = Journal()
    keys = [KEY, JobKey(2, None, 3, "train"), JobKey(2, 0, 3, "train"), KEY.at(4), JobKey(2, 7, 3, "test on mine")]
    for key in keys:
        journal.intend(submission(journal, key), ANGLES)
    journal.intend(submission(journal, part="0"), ANGLES)
    journal.intend(submission(journal, attempt=1), ANGLES)
    assert len({s.tag for s in journal.all()}) == 7
    assert all(len(s.tag) <= 24 for s in journal.all())
    assert [s.key for s in journal.all()][:5] == keys
    assert journal.latest("mine", KEY, "").attempt == 1
    assert Journal().tag("mine", KEY, "", 0) != journal.tag("mine", KEY, "", 0), "another run has other tags"


def test_seconds_to_reckon_with():
    journal = Journal()
    for attempt, seconds in enumerate((1.0, 10.0, 100.0)):
        journal.intend(submission(journal, attempt=attempt, seconds=seconds), ANGLES)
    tags = [s.tag for s in journal.all()]
    journal.ended(tags[0], "cancelled", "by hand", 0.0)
    journal.duplicated(tags[1], {"a": "ran", "b": "cancelled"})
    journal.reported(tags[2], 90.0)
    assert journal.spent_seconds() == 0 + 20 + 90
    assert journal.spent_seconds("another") == 0


def test_what_fails_inside_a_transaction_is_not_written():
    journal = Journal()

    def fail():
        with journal.transaction():
            journal.intend(submission(journal), ANGLES)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert journal.all() == []


def test_threads_write_one_after_another(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")

    def write(client):
        for step in range(5):
            with journal.transaction():
                before = len(journal.all())
                journal.intend(submission(journal, JobKey(1, client, step, "train")), ANGLES)
                assert len(journal.all()) == before + 1

    threads = [threading.Thread(target=write, args=(client,)) for client in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.all()) == 20


def test_moved_from_memory_to_a_file(tmp_path):
    journal = Journal()
    assert journal.remember("device of a", "ibm_x") == "ibm_x"
    journal.move_to(tmp_path / "journal.sqlite")
    journal.intend(submission(journal), ANGLES)
    again = Journal(tmp_path / "journal.sqlite")
    assert again.remember("device of a", "ibm_y") == "ibm_x"
    assert again.recall("device of a") == "ibm_x"
    assert again.recall("nothing") is None
    assert again.run_id == journal.run_id
    assert len(again.all()) == 1


def test_looked_at_without_being_changed(tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    journal.intend(submission(journal), ANGLES)
    journal.close()
    (tmp_path / "journal.sqlite").chmod(0o444)
    assert len(Journal(tmp_path / "journal.sqlite", read_only=True).all()) == 1
    with pytest.raises(ResultError, match="cannot be read"):
        journal.all()


def test_journal_of_another_version(tmp_path):
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.execute("CREATE TABLE submissions (tag TEXT)")
    db.commit()
    with pytest.raises(ResultError, match=r"is a journal of another version of this package \(0, not 1\)"):
        Journal(tmp_path / "journal.sqlite")


def test_file_that_is_no_journal(tmp_path):
    (tmp_path / "journal.sqlite").write_text("not a database, but long enough to be taken for one by its size" * 20)
    with pytest.raises(ResultError, match="is not a file of this package"):
        Journal(tmp_path / "journal.sqlite")
