import subprocess
import sys
from functools import partial

import pytest

from qiskit_fedqml import RunResult, load_model, resume_federation, run_federation
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.parts import reference_to
from qiskit_fedqml.errors import ConfigurationError, DataError, ResultError, TrainingError
from qiskit_fedqml.results.evaluation import evaluate_model
from tests.conftest import ROOT
from tests.federation.test_federation import same
from tests.own_parts import Clipped, InTurn, Median, own_circuit, own_data
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


OWN_DATA = {"data": {"dataset": "given"}}


@pytest.mark.parametrize(
    "data",
    [
        own_data(),
        *(
            pytest.param(data, marks=pytest.mark.slow)
            for data in (own_data(is_divided=False), partial(own_data, seed=0))
        ),
    ],
)
def test_own_data_are_resumed_and_evaluated_in_a_fresh_process(data, tiny, tmp_path):
    whole = run_federation(tiny(**OWN_DATA), data=data)
    with pytest.raises(Interrupt):
        run_federation(tiny(**OWN_DATA), tmp_path / "run", data=data, observer=StopAfter(1, 0))
    fresh(tmp_path, "from qiskit_fedqml import resume_federation as r; r('run')")
    stored = RunResult.load(tmp_path / "run")
    same(stored, whole)
    assert stored.run["classes"] == ["red", "blue"]
    assert (tmp_path / "run" / "data.npz").exists() == isinstance(data, tuple)
    fresh(tmp_path, "from qiskit_fedqml.cli import app; app(['evaluate', 'run'])")
    assert (tmp_path / "run" / "evaluations" / "ideal.csv").exists()


def test_a_folder_with_own_data_is_moved_and_run_again_from_its_own_file(tiny, tmp_path):
    first = run_federation(tiny(**OWN_DATA), tmp_path / "run", data=own_data())
    (tmp_path / "run").rename(tmp_path / "moved")
    stored = RunResult.load(tmp_path / "moved")
    assert stored.experiment.data.path == str(tmp_path / "moved" / "data.npz")
    same(run_federation(stored.experiment, tmp_path / "moved", overwrite=True), first)


def test_other_data_than_those_of_the_run_are_refused(tiny, tmp_path, monkeypatch):
    run_federation(tiny(**OWN_DATA), tmp_path / "run", data=own_data)
    monkeypatch.setattr("tests.own_parts.own_data", partial(own_data, seed=1))
    with pytest.raises(ResultError, match="the train data are not those with which the run began"):
        resume_extended(tmp_path / "run")
    with pytest.raises(ResultError, match="the test data are not those"):
        fresh_evaluation(tmp_path / "run")
    file = run_federation(tiny(**OWN_DATA), tmp_path / "other", data=own_data()).folder / "data.npz"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(ResultError, match="data.npz is damaged"):
        resume_federation(tmp_path / "other")


def fresh_evaluation(folder):
    result = RunResult.load(folder)
    return evaluate_model(folder, BackendRegistry(result.experiment.backends, folder).server)


@pytest.mark.parametrize(
    ("experiment", "data", "kind", "message"),
    [
        ({"federation__clients": 5}, own_data(), DataError, "`data` has 4 clients, but `federation.clients` is 5"),
        ({"federation__clients": 5}, own_data, DataError, "`data` has 4 clients, but `federation.clients` is 5"),
        (
            {"data": {"dataset": "given", "partition": {"scheme": "dirichlet", "alpha": 1.0}}},
            own_data(),
            DataError,
            "`data.partition` has no effect where the data of each client are given",
        ),
        ({}, own_data()[0], DataError, r"`data` must be \(clients, test\)"),
        ({}, lambda: None, ConfigurationError, "`data` must be a class or a function at the top of a module"),
        (OWN_DATA, None, DataError, "`data` names no examples; give them from Python"),
    ],
)
def test_data_that_do_not_fit_are_refused(tiny, tmp_path, experiment, data, kind, message):
    with pytest.raises(kind, match=message):
        run_federation(tiny(**experiment), tmp_path / "run", data=data)
    assert not (tmp_path / "run").exists()


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


class Unfinished:
    takes_weights = False

    def start(self, model):
        self.states = []

    def add(self, update, weight):
        self.states.append(update.state)


class Misshapen(Unfinished):
    def finish(self):
        return {name: tensor.reshape(-1) for name, tensor in self.states[0].items()}


class Empty(Unfinished):
    def finish(self):
        return {}


def test_parts_that_lack_something_are_refused_before_anything_is_written(tiny, tmp_path):
    for part, message in (
        ({"rule": Unfinished}, "`aggregation.rule`: what '.*Unfinished' makes has no finish"),
        ({"client_step": Unfinished}, "`federation.client_step`: what .* makes has no batches, add_gradients"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            run_federation(tiny(), tmp_path / "run", **part)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("rule", "message"), [(Misshapen, "has the shape .*, not"), (Empty, "is missing")])
def test_an_aggregate_that_is_no_model_is_one_clear_error(tiny, rule, message):
    with pytest.raises(TrainingError, match=f"Round 1: `aggregation.rule` must give each of .* {message}"):
        run_federation(tiny(), rule=rule)


def test_a_module_that_is_not_found_says_where_it_is_looked_for(tiny):
    with pytest.raises(ConfigurationError, match=r"named 'nowhere'\. It is looked for .* current folder"):
        run_federation(tiny(aggregation={"rule": {"python": "nowhere:Rule"}}))


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
