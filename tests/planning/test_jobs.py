"""What a table of jobs says of those who asked."""

from dataclasses import replace

from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.planning.jobs import job_note, job_rows, job_values

ONE = Submission(
    "tag", JobKey(1, 3, 2, "train"), "", 0, "mine", "fake_x", None, "print", {"plain": []}, 5, 50, 2.5, "done"
)


def test_a_joint_job_names_its_clients():
    joint = replace(ONE, key=JobKey(1, None, 2, "train", (0, 1, 4)))
    server = replace(ONE, key=JobKey(1, None, 0, "test on mine"))
    assert [row["Client"] for row in job_rows([ONE, joint, server])] == ["3", "0, 1, 4", "server"]
    assert [row["clients"] for row in job_values([ONE, joint])] == [[], [0, 1, 4]]
    assert "several clients of a device share a job" in job_note([joint])
    assert "share" not in job_note([ONE, server])
    assert job_note([]) == ""
