import subprocess
import sys
from functools import partial

import pytest

from qiskit_fedqml import RunResult, load_model, resume_federation, run_federation
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.parts import reference_to
from qiskit_fedqml.errors import ConfigurationError, ResultError
from tests.conftest import ROOT
from tests.federation.test_federation import same
from tests.own_parts import Clipped, InTurn, Median, own_circuit
from tests.stopping import Interrupt, StopAfter

PARTS = {
    "circuit": own_circuit(),
    "rule": partial(Median, factor=0.9),
    "client_step": Clipped,
    "algorithm": partial(InTurn, first=1),
}


def fresh(folder, script):
    """Run Python in a fresh process, where the tests can be imported."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"
    subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)


def test_own_parts_are_resumed_and_evaluated_in_a_fresh_process(tiny, tmp_path):
    whole = run_federation(tiny(), **PARTS)
    with pytest.raises(Interrupt):
        run_federation(tiny(), tmp_path / "run", **PARTS, observer=StopAfter(1, 0))
    fresh(tmp_path, "from qiskit_fedqml import resume_federation as r; r('run')")
    stored = RunResult.load(tmp_path / "run")
    same(stored, whole)
    config = stored.experiment
    assert config.aggregation.rule == PythonReference(python="tests.own_parts:Median", arguments={"factor": 0.9})
    assert config.model.circuit.qpy == str(tmp_path / "run" / "circuit.qpy")
    assert load_model(tmp_path / "run").network.num_weights == 4
    fresh(tmp_path, "from qiskit_fedqml.cli import app; app(['evaluate', 'run'])")
    assert (tmp_path / "run" / "evaluations" / "ideal.csv").exists()


def test_a_function_makes_the_same_circuit_as_the_file(tiny):
    same(run_federation(tiny(), circuit=own_circuit), run_federation(tiny(), circuit=own_circuit()))


def test_a_function_that_makes_another_circuit_later_is_refused(tiny, tmp_path, monkeypatch):
    run_federation(tiny(), tmp_path / "run", circuit=own_circuit)
    monkeypatch.setattr("tests.own_parts.own_circuit", partial(own_circuit, turned=True))
    for again in (partial(load_model, tmp_path / "run"), partial(resume_extended, tmp_path / "run")):
        with pytest.raises(ResultError, match="makes another circuit than when the run began"):
            again()


def resume_extended(folder):
    from qiskit_fedqml.federation.runs.resuming import extend_federation

    return extend_federation(folder, 5)


def test_a_changed_file_of_the_circuit_is_refused(tiny, tmp_path):
    run_federation(tiny(), tmp_path / "run", circuit=own_circuit())
    file = tmp_path / "run" / "circuit.qpy"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ResultError, match="circuit.qpy is damaged"):
        resume_federation(tmp_path / "run")


def local():
    class Hidden(Median):
        pass

    return Hidden


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"rule": local()}, "`rule` must be a class or a function at the top of a module"),
        ({"rule": lambda: None}, "`rule` must be a class or a function at the top of a module"),
        ({"rule": Median()}, "`rule` must be a class or a function at the top of a module"),
        ({"rule": partial(Median, 0.5)}, r"must have its arguments by keyword, but has 0.5"),
        ({"rule": partial(Median, factor=object())}, "must be plain values"),
        ({"rule": partial(Median, factor=float("nan"))}, "must be plain values"),
        ({"circuit": own_circuit().circuit}, "`circuit` must be a CircuitSpec, or a function that makes one"),
        ({"circuit": Median}, "must return a CircuitSpec, but returned a Median"),
    ],
)
def test_parts_that_are_none_are_refused(tiny, tmp_path, parts, message):
    with pytest.raises(ConfigurationError, match=message):
        run_federation(tiny(), tmp_path / "run", **parts)
    assert not (tmp_path / "run").exists()


def test_a_circuit_has_an_observable_for_each_class(tiny):
    with pytest.raises(ConfigurationError, match="3 classes, but the circuit of `model.circuit` has 2 observables"):
        run_federation(tiny(data__classes=[0, 1, 2]), circuit=own_circuit())


def test_a_reference_is_taken_as_it_is():
    reference = PythonReference(python="tests.own_parts:Median")
    assert reference_to(reference, "rule") is reference


def test_progress_is_shown_where_it_is_asked_for(tiny, capsys):
    run_federation(tiny(), progress=True)
    assert "run: round 1: train" in capsys.readouterr().err
    run_federation(tiny())
    assert not capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="`observer` and `progress=True` exclude each other"):
        run_federation(tiny(), progress=True, observer=StopAfter(1, 0))
