import io
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


def test_seconds_to_count_with():
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


def filled(path):
    """Return a journal with one submission that is done."""
    journal = Journal(path)
    journal.intend(written := submission(journal), ANGLES)
    journal.sent(written.tag, "job-1")
    journal.done(written.tag, np.zeros((2, 1, 1)))
    return journal, written.tag


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "folder is a folder, not a file"),
        ("missing/journal.sqlite", "there is no such file that this user may open"),
        ("x" * 300, "cannot be the name of a file"),
        ("a\0b", "cannot be the name of a file"),
        ("\ud800", "cannot be the name of a file"),
    ],
)
@pytest.mark.parametrize("read_only", [False, True])
def test_path_that_can_be_no_journal_s(tmp_path, name, message, read_only):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResultError, match=message) as error:
        Journal(tmp_path / name, read_only=read_only)
    str(error.value).encode()


def test_journal_that_is_not_there_is_not_made_by_looking(tmp_path):
    with pytest.raises(ResultError, match="cannot be opened: there is no such file"):
        Journal(tmp_path / "journal.sqlite", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_moved_to_where_no_file_can_be(tmp_path):
    journal, tag = filled(None)
    with pytest.raises(ResultError, match="cannot be written: there is no such file"):
        journal.move_to(tmp_path / "missing" / "journal.sqlite")
    assert journal.latest("mine", KEY, "").tag == tag, "it continues in memory"


def test_read_only_journal_is_not_written(tmp_path):
    filled(tmp_path / "journal.sqlite")[0].close()
    journal = Journal(tmp_path / "journal.sqlite", read_only=True)
    with pytest.raises(ResultError, match=r"journal.sqlite cannot be written: it is read-only\."):
        journal.remember("a", "b")
    assert len(journal.all()) == 1


def test_journal_that_another_process_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("qiskit_fedqml.backends.devices.database._LOCK_SECONDS", 0.05)
    journal, tag = filled(tmp_path / "journal.sqlite")
    other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ResultError, match=r"journal.sqlite cannot be read: another process works on it\."):
        journal.all()
    with pytest.raises(ResultError, match=r"journal.sqlite cannot be written: another process works on it\."):
        journal.reported(tag, 1.0)
    with pytest.raises(ResultError, match=r"journal.sqlite cannot be opened: another process works on it\."):
        Journal(tmp_path / "journal.sqlite")
    other.execute("ROLLBACK")
    journal.reported(tag, 1.0)
    assert journal.spent_seconds() == 1.0


def test_disk_is_full_and_has_space_again(tmp_path):
    """What was written before is there, what did not fit is not, and it can be written later."""
    journal, tag = filled(tmp_path / "journal.sqlite")
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    big = np.zeros((200, 100))
    with pytest.raises(ResultError, match=r"journal.sqlite cannot be written: the disk is full\."):
        journal.intend(submission(journal, KEY.at(9)), big)
    assert [s.tag for s in Journal(tmp_path / "journal.sqlite").all()] == [tag]
    journal._db.execute("PRAGMA max_page_count = 100000")
    journal.intend(submission(journal, KEY.at(9)), big)
    assert len(journal.all()) == 2


@pytest.mark.parametrize(
    ("change", "look", "message"),
    [
        ("angles = 'no array'", Journal.angles, "the angles of submission fq"),
        ("angles = zeroblob(0)", Journal.angles, "the angles of submission"),
        ("result = NULL", Journal.result, "the result of submission fq"),
        ("result = x'00'", Journal.result, "the result of submission fq"),
        ("result = substr(result, 1, 130)", Journal.result, "the result of submission fq"),
        ("request = 'no JSON'", lambda journal, _: journal.all(), "a submission cannot be read"),
        ("request = '[]'", lambda journal, _: journal.all(), "a submission cannot be read"),
        ("duplicates = '5'", lambda journal, _: journal.all(), "a submission cannot be read"),
        ("state = 'elsewhere'", lambda journal, _: journal.all(), "a submission cannot be read"),
    ],
)
def test_damaged_row(tmp_path, change, look, message):
    journal, tag = filled(tmp_path / "journal.sqlite")
    journal._db.execute(f"UPDATE submissions SET {change}")
    with pytest.raises(ResultError, match=rf"journal.sqlite is damaged: .*{message}"):
        look(journal, tag)


def test_result_that_was_pickled_is_not_read(tmp_path):
    journal, tag = filled(tmp_path / "journal.sqlite")
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}]), allow_pickle=True)
    journal._db.execute("UPDATE submissions SET result = ?", (buffer.getvalue(),))
    with pytest.raises(ResultError, match="is damaged: the result"):
        journal.result(tag)


def test_flipped_bits_raise_no_foreign_error(tmp_path):
    """Two hundred journals with one bit changed."""
    filled(tmp_path / "whole.sqlite")[0].close()
    whole, rng = (tmp_path / "whole.sqlite").read_bytes(), np.random.default_rng(2)
    errors = 0
    for place in rng.integers(0, len(whole), 200):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path = tmp_path / "changed.sqlite"
        path.write_bytes(changed)
        try:
            looked = Journal(path, read_only=True)
            for s in looked.all():
                looked.angles(s.tag)
                looked.result(s.tag)
            looked.close()
        except ResultError:
            errors += 1
    assert 5 < errors < 200


def test_database_of_another_program(tmp_path):
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    db.executescript("CREATE TABLE songs (name TEXT); PRAGMA user_version = 1;")
    db.close()
    with pytest.raises(ResultError, match="its tables are not those of this package"):
        Journal(tmp_path / "journal.sqlite")


def test_journal_that_is_closed():
    journal = Journal()
    journal.close()
    with pytest.raises(ResultError, match=r"The journal in memory cannot be read: it is closed\."):
        journal.all()
    with pytest.raises(ResultError, match=r"The journal in memory cannot be written: it is closed\."):
        journal.remember("a", "b")
