"""A comparison that was stopped, and what it and other commands say of how to continue."""

import re
import shlex

import pytest
import yaml

from qiskit_fedqml import RunResult
from qiskit_fedqml.errors import BackendError
from tests.conftest import TINY

TRAIN = "qiskit_fedqml.federation.executors.groups.train_client"
CLIENTS_OF_A_RUN = 4


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a b", "b", "c")):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**TINY, "seed": number}))
    return tmp_path


@pytest.fixture
def stop_after(monkeypatch):
    """Return a function that raises something after so many clients, once."""
    from qiskit_fedqml.federation.executors import groups

    original = groups.train_client

    def stop(clients, error):
        left = [clients]

        def train(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                monkeypatch.setattr(TRAIN, original)
                raise error
            return original(*arguments, **options)

        monkeypatch.setattr(TRAIN, train)

    return stop


def commands_in(text):
    return [shlex.split(command)[1:] for command in re.findall(r"`(fedqml (?:resume|compare) .*?)`", text)]


@pytest.mark.parametrize("options", [[], ["--overwrite"], ["--set", "federation.learning_rate=0.02"]])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), BackendError("The machine is gone.")])
def test_a_comparison_that_was_stopped_continues_as_it_says(files, fedqml, stop_after, options, error):
    arguments = ["compare", "a b.yaml", "b.yaml", "c.yaml", "--out", "all", *options]
    stop_after(CLIENTS_OF_A_RUN + 1, error)
    code, _, err = fedqml(*arguments)
    assert code == (4 if isinstance(error, BackendError) else 130)
    first = (files / "all" / "a b" / "run.json").read_bytes()
    resume, compare = commands_in(err)
    assert resume == ["resume", "all/b"]
    assert fedqml(*resume)[0] == 0
    code, out, err = fedqml(*compare)
    assert code == 0, err
    assert out.endswith("Table and curves: all\n")
    assert (files / "all" / "a b" / "run.json").read_bytes() == first, "no finished run is made again"
    runs = [RunResult.load(files / "all" / name) for name in ("a b", "b", "c")]
    assert all(run.is_complete for run in runs)
    assert len({run.experiment.federation.learning_rate for run in runs}) == 1


def test_a_comparison_repeated_names_the_folder_to_take(files, fedqml):
    assert fedqml("compare", "b.yaml", "--out", "all")[0] == 0
    code, _, err = fedqml("compare", "b.yaml", "--out", "all")
    assert code == 6
    assert "all/b exists already: give this folder in place of b.yaml to compare the run in it" in err
    assert fedqml("compare", "all/b", "--out", "all")[0] == 0


def test_what_is_printed_after_resume_and_extend(files, fedqml, stop_after):
    stop_after(1, KeyboardInterrupt())
    assert fedqml("run", "b.yaml")[0] == 130
    code, out, _ = fedqml("resume", "results/b")
    assert (code, out.splitlines()[-1]) == (0, "Result: results/b")
    assert "already" not in out
    finished = "results/b had all its 2 rounds already; `fedqml extend results/b --rounds N` gives it more."
    for again in (("resume", "results/b"), ("extend", "results/b", "--rounds", "2")):
        code, out, _ = fedqml(*again)
        assert (code, out.splitlines()[-2:]) == (0, [finished, "Result: results/b"])
    code, out, _ = fedqml("extend", "results/b", "--rounds", "3")
    assert (code, out.splitlines()[-1]) == (0, "Result: results/b")
    assert "already" not in out
