import re
import subprocess
import sys
from functools import partial

import pytest
import yaml
from qiskit.primitives import StatevectorEstimator, StatevectorSampler
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from qiskit_fedqml import BackendRegistry, RunResult, load_model, resume_federation, run_federation
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.cli import app
from qiskit_fedqml.errors import BackendError, ConfigurationError, FedQMLError, NoBackendError, ResultError
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.planning.planner import plan_experiment
from qiskit_fedqml.results.evaluation import evaluate_model
from qiskit_fedqml.simulation.noise import noise_from_model
from tests import own_machines as own
from tests.backends.providers.shop import Shop
from tests.conftest import ROOT
from tests.federation.test_federation import same
from tests.stopping import Interrupt, StopAfter

ARRAY = {"backends": {"ideal": {"type": "aer"}, "mine": {"type": "object"}}, "assignment": {"default": "mine"}}


def array(**mine):
    return {**ARRAY, "backends": {"ideal": {"type": "aer"}, "mine": mine}}


@pytest.fixture
def own_array(tiny):
    """Return a function that makes the tiny experiment whose clients have the machine `mine`."""
    return partial(tiny, backends=ARRAY)


def fresh(folder, script):
    """Run Python in a fresh process, where the tests can be imported; return what it printed."""
    script = f"import sys; sys.path.insert(0, {str(ROOT)!r}); {script}"
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("thing", "entry"),
    [
        (own.noise_model(), {"type": "object", "shots": None, "class": "qiskit_aer.noise.noise_model.NoiseModel"}),
        (own.noisy_simulator(), {"type": "object", "shots": 128}),
        (own.product_state_simulator(), {"type": "object", "shots": 64}),
        (own.generic(), {"type": "object", "shots": 1024}),
        (own.estimator(), {"type": "object", "shots": None}),
        (own.Own(), {"type": "object", "class": "tests.own_machines.Own"}),
        (FakeManilaV2(), {"type": "aer", "noise": "FakeManilaV2", "shots": 1024}),
        (own.noise_model, {"type": "python", "python": "tests.own_machines:noise_model", "arguments": {}}),
        (partial(own.noise_model, rate=0.1), {"type": "python", "arguments": {"rate": 0.1}}),
        (own.Own, {"type": "python", "python": "tests.own_machines:Own"}),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, dict) else "",
)
def test_each_kind_is_a_backend(own_array, thing, entry):
    result = run_federation(own_array(federation__rounds=1), backends={"mine": thing})
    assert len(result.rounds) == 1
    assert {client.backend for client in result.rounds[0].clients} == {"mine"}
    stored = result.experiment.resolved()["backends"]["backends"]["mine"]
    assert {key: stored[key] for key in entry} == entry


def test_a_noise_model_is_the_machine_that_it_makes(own_array):
    model = own.noise_model()
    one = run_federation(own_array(), backends={"mine": model})
    other = run_federation(own_array(), backends={"mine": AerBackend("mine", noise_from_model(model))})
    same(one, other)
    assert one.rounds[-1].test_loss != run_federation(own_array(), backends={"mine": own.Own()}).rounds[-1].test_loss


def test_an_entry_says_the_shots_of_a_noise_model(own_array):
    shots = {"backends.mine.shots": 100}
    experiment = own_array(backends=array(type="object", shots=100))
    one = run_federation(experiment, backends={"mine": own.noise_model()})
    assert one.experiment.backends.backends["mine"].shots == 100, shots
    other = AerBackend("mine", noise_from_model(own.noise_model()), 100)
    same(one, run_federation(experiment, backends={"mine": other}))


@pytest.mark.parametrize("make", [own.noisy_simulator, own.product_state_simulator])
def test_shots_derive_from_the_runs_seed(own_array, make):
    runs = [run_federation(own_array(federation__rounds=1), backends={"mine": make()}) for _ in range(2)]
    same(*runs)
    assert runs[0].run["machines"]["mine"].get("seed", "the run's") == "the run's"


def test_the_description_says_whose_seed_an_estimator_has(own_array):
    run = run_federation(own_array(federation__rounds=1), backends={"mine": own.estimator()}).run
    assert run["machines"]["mine"] == {"name": "StatevectorEstimator", "precision": None, "seed": "its own"}


def test_a_function_is_the_same_in_one_process_and_in_two(tiny):
    mine = array(type="python", python="tests.own_machines:noise_model", arguments={"rate": 0.1}, shots=50)
    runs = [run_federation(tiny(backends=mine, federation__workers=workers)) for workers in (1, 2)]
    for one, other in zip(runs[0].rounds, runs[1].rounds, strict=True):
        assert one.test_loss == other.test_loss
        assert [c.train_loss for c in one.clients] == [c.train_loss for c in other.clients]


def test_an_object_stays_in_this_process(own_array):
    with pytest.raises(ConfigurationError, match="federation.workers must be 1 with mine, an object of Python"):
        own_array().with_workers(2)
    result = run_federation(own_array(federation__workers="auto"), backends={"mine": own.noise_model()})
    assert result.run["workers"] == 1


@pytest.mark.parametrize("make", [own.noise_model, own.Own, own.estimator])
def test_clients_of_one_object_train_in_lockstep(own_array, make):
    alone, together = (
        run_federation(own_array(federation__lockstep=number, federation__rounds=1), backends={"mine": make()})
        for number in (1, 2)
    )
    assert together.rounds[-1].test_loss == pytest.approx(alone.rounds[-1].test_loss, abs=1e-5)


def test_a_run_with_an_object_is_resumed_with_it(own_array, tmp_path):
    whole = run_federation(own_array(), backends={"mine": own.noise_model()})
    with pytest.raises(Interrupt):
        run_federation(own_array(), tmp_path / "run", backends={"mine": own.noise_model()}, observer=StopAfter(1, 0))
    with pytest.raises(BackendError, match=r"give it from Python, as `backends=\{'mine': …\}` to run_"):
        resume_federation(tmp_path / "run")
    done = fresh(
        tmp_path,
        "from tests.own_machines import noise_model; from qiskit_fedqml import resume_federation; "
        "resume_federation('run', backends={'mine': noise_model()}); from qiskit_fedqml.cli import app; "
        "app(['evaluate', 'run'], standalone_mode=False)",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "evaluations" / "ideal.csv").exists()
    same(RunResult.load(tmp_path / "run"), whole)
    extended = extend_federation(tmp_path / "run", 3, backends={"mine": own.noise_model})
    assert len(extended.rounds) == 3


def test_a_run_of_a_function_is_resumed_by_its_name(own_array, tmp_path):
    whole = run_federation(own_array(), backends={"mine": own.noise_model})
    with pytest.raises(Interrupt):
        run_federation(own_array(), tmp_path / "run", backends={"mine": own.noise_model}, observer=StopAfter(1, 0))
    done = fresh(tmp_path, "from qiskit_fedqml import resume_federation as r; r('run')")
    assert done.returncode == 0, done.stderr
    same(RunResult.load(tmp_path / "run"), whole)


def test_a_report_needs_no_machine_and_no_code(own_array, tmp_path, monkeypatch):
    run_federation(own_array(), tmp_path / "python", backends={"mine": own.noise_model})
    run_federation(own_array(), tmp_path / "object", backends={"mine": own.noisy_simulator()})
    monkeypatch.delattr(own, "noise_model")
    monkeypatch.chdir(tmp_path)
    app(["report", "python", "object", "--out", "page"], standalone_mode=False)
    app(["compare", "python", "object"], standalone_mode=False)
    page = next((tmp_path / "page").glob("*.html")).read_text()
    assert "tests.own_machines:noise_model" in page
    assert "object of qiskit_aer.backends.aer_simulator.AerSimulator" in page


def test_a_plan_needs_no_machine_of_ones_own(tiny):
    entries = {
        "ideal": {"type": "aer"},
        "mine": {"type": "object"},
        "device": {"type": "ibm", "device": "FakeManilaV2"},
    }
    file = {"backends": entries, "assignment": {"default": {"cycle": ["mine", "device"]}}}
    plan = plan_experiment(tiny(backends=file))
    assert plan.total().jobs > 0
    with pytest.raises(ConfigurationError, match="There is nothing to plan"):
        plan_experiment(tiny(backends=ARRAY))


def test_another_machine_is_refused_when_a_run_is_resumed(own_array, tmp_path, monkeypatch):
    for folder, thing in (("object", own.noise_model()), ("function", own.noise_model)):
        with pytest.raises(Interrupt):
            run_federation(own_array(), tmp_path / folder, backends={"mine": thing}, observer=StopAfter(1, 0))
    for thing, difference in (
        (own.noise_model(0.2), "noise_digest"),
        (own.Own(), "not the object with which the run began"),
    ):
        with pytest.raises(ResultError, match=difference):
            resume_federation(tmp_path / "object", backends={"mine": thing})
    with pytest.raises(ConfigurationError, match="the run was given no object as 'ideal'; known are mine"):
        resume_federation(tmp_path / "object", backends={"ideal": own.Own()})
    monkeypatch.setattr(own, "noise_model", partial(own.noise_model, rate=0.2))
    with pytest.raises(ResultError, match="'mine' is another machine than when the run began: its noise_digest"):
        resume_federation(tmp_path / "function")


def test_a_servers_function_that_makes_another_machine_is_noticed(tiny, tmp_path, monkeypatch):
    experiment = tiny(backends={**ARRAY, "assignment": {"server": "mine"}}, federation__rounds=1)
    run_federation(experiment, tmp_path / "run", backends={"mine": own.noise_model})
    load_model(tmp_path / "run")
    monkeypatch.setattr(own, "noise_model", partial(own.noise_model, rate=0.2))
    with pytest.raises(ResultError, match="'mine' is another machine than when the run began"):
        load_model(tmp_path / "run")


class Faulty(own.Own):
    """Says nothing that could be read."""

    def describe(self):
        raise RuntimeError("out of words")


class Fractional(own.Own):
    """Has half a shot."""

    shots = 0.5


class Mine(FakeManilaV2):
    """No fake device that is known by its name."""


def test_what_an_object_says_is_checked(own_array):
    with pytest.raises(BackendError, match="'own' describes itself, and failed with RuntimeError: out of words"):
        run_federation(own_array(), backends={"mine": Faulty()})
    with pytest.raises(ConfigurationError, match=r"argument `backends\['mine'\]`: key 'shots'"):
        run_federation(own_array(), backends={"mine": Fractional()})
    result = run_federation(own_array(federation__rounds=1), backends={"mine": Mine()})
    assert result.experiment.backends.backends["mine"].type == "object"


def test_time_is_not_simulated_for_machines_of_ones_own(tiny):
    queue = {"queue": {"lognormal": {"median_seconds": 60, "sigma": 1.0}}}
    with pytest.raises(ValueError, match="scheduling simulates the time of simulated machines, but mine has its own"):
        tiny(backends=ARRAY, scheduling=queue, federation__algorithm={"buffered": {"buffer": 1}})


def test_an_object_may_be_the_servers(tiny, tmp_path):
    experiment = tiny(backends={**ARRAY, "assignment": {"server": "mine"}})
    model = own.noise_model()
    result = run_federation(experiment, tmp_path / "run", backends={"mine": model})
    with pytest.raises(BackendError, match=r"no file can hold; give it from Python, as `backends=\{'mine': …\}`"):
        load_model(tmp_path / "run")
    again = load_model(tmp_path / "run", backends={"mine": own.noise_model()})
    with pytest.raises(ResultError, match="noise_digest"):
        load_model(tmp_path / "run", backends={"mine": own.noise_model(0.2)})
    evaluated = evaluate_model(tmp_path / "run", model)
    assert evaluated.backend == "NoiseModel"
    assert evaluated.loss == pytest.approx(result.rounds[-1].test_loss, abs=1e-6)
    assert again.network.backend.name == "mine"
    with pytest.raises(NoBackendError, match="but it is an object of type str, 'ideal'"):
        evaluate_model(tmp_path / "run", "ideal")


@pytest.mark.parametrize(
    ("thing", "error", "message"),
    [
        ("FakeManilaV2", NoBackendError, "'mine' must be a BackendV2 or an EstimatorV2 .* type str, 'FakeManilaV2'"),
        (3, NoBackendError, "an object of type int, 3"),
        (StatevectorEstimator, NoBackendError, "is the class StatevectorEstimator; an object of it"),
        (StatevectorSampler(), NoBackendError, "is an object of type StatevectorSampler"),
        (own.sampler, NoBackendError, "'tests.own_machines:sampler' returns is an object of type StatevectorSampler"),
        (own.broken, BackendError, "'tests.own_machines:broken' fails .*no machine today"),
        (lambda: None, ConfigurationError, "must be a class or a function at the top of a module"),
        (partial(own.generic, 3), ConfigurationError, "must have its arguments by keyword"),
        (partial(own.generic, token="x"), ConfigurationError, "must not hold 'token'"),
        (partial(own.generic, seeds=1), BackendError, "unexpected keyword"),
    ],
)
def test_what_cannot_be_a_backend_is_refused(own_array, tmp_path, thing, error, message):
    with pytest.raises(error, match=message) as raised:
        run_federation(own_array(), tmp_path / "run", backends={"mine": thing})
    assert not (tmp_path / "run").exists()
    if error is NoBackendError:
        assert isinstance(raised.value, TypeError)
        assert isinstance(raised.value, FedQMLError)


def test_a_name_that_nothing_uses_is_refused(own_array):
    with pytest.raises(
        ConfigurationError, match="no client, not the server and no test uses 'mime'; did you mean 'mine'"
    ):
        run_federation(own_array(), backends={"mime": own.Own()})


def test_an_object_that_is_not_given_is_asked_for(own_array, tmp_path):
    with pytest.raises(BackendError, match=r"'mine': it is an object that no file can hold; give it from Python"):
        run_federation(own_array(), tmp_path / "run")


def test_a_backend_has_its_own_shots(own_array):
    with pytest.raises(BackendError, match="'mine' has no shots of its own, not the 10 of its entry"):
        run_federation(own_array(backends=array(type="object", shots=10)), backends={"mine": own.Own()})


def test_clients_are_weighted_where_errors_are_stated(tiny):
    assignment = {"default": {"cycle": ["ideal", "mine"]}}
    experiment = tiny(backends={**ARRAY, "assignment": assignment}, aggregation__success_exponent=2.0)
    run_federation(experiment, backends={"mine": own.Own()})
    with pytest.raises(ConfigurationError, match="success_exponent` cannot weigh clients on backend 'mine'"):
        run_federation(experiment, backends={"mine": own.estimator()})


def test_a_registry_takes_own_backends():
    file = array(type="object")
    registry = BackendRegistry.from_mapping(file, backends={"mine": own.noise_model()})
    assert registry["mine"].noise.source == "Aer noise model"
    assert BackendRegistry.from_mapping(array(type="python", python="tests.own_machines:generic"))["mine"].shots == 1024
    with pytest.raises(ConfigurationError, match="no entry of type object is 'mime'; did you mean 'mine'"):
        BackendRegistry.from_mapping(file, backends={"mime": own.noise_model()})


def test_commands_show_own_machines(tmp_path, monkeypatch, capsys, caplog):
    from qiskit_fedqml.terminal.machines import check_machines, show_machines

    entries = {
        "model": {"type": "python", "python": "tests.own_machines:noise_model", "shots": 100},
        "basic": {"type": "python", "python": "tests.own_machines:basic"},
        "object": {"type": "object"},
    }
    path = tmp_path / "backends.yaml"
    path.write_text(yaml.safe_dump({"backends": {"ideal": {"type": "aer"}, **entries}}))
    monkeypatch.setenv("COLUMNS", "200")
    show_machines(path, None, None, overwrite=False)
    shown = capsys.readouterr().out
    for text in ("tests.own_machines:basic", "Aer noise model", "object, not given yet"):
        assert text in shown
    assert check_machines(path, None, None, overwrite=False)
    assert re.search("model .* yes", capsys.readouterr().out)
    assert "'basic' is not checked" in caplog.text


@pytest.fixture
def shop(tmp_path):
    """The folder of a provider whose jobs are files."""
    (tmp_path / "shop").mkdir()
    return str(tmp_path / "shop")


def test_a_machine_with_a_queue_is_no_object(own_array, tiny, shop, tmp_path):
    for thing in (Shop(shop), (GenericBackendV2(3, seed=1), own.estimator())):
        with pytest.raises(BackendError, match="may have a queue.*give the function that opens it, or name that"):
            run_federation(own_array(), tmp_path / "run", backends={"mine": thing})
    entry = array(type="python", python="tests.backends.providers.shop:Shop", arguments={"folder": shop})
    with pytest.raises(BackendError, match="'mine': an object of type Shop may have a queue"):
        run_federation(tiny(backends=entry), tmp_path / "run")


def test_a_function_that_opens_a_machine_with_a_queue_is_a_device(tiny, shop, tmp_path):
    small = {"federation__clients": 8, "federation__clients_per_round": 1, "federation__rounds": 1}
    entry = {"type": "backend", "factory": "some:thing", "shots": 20, "waiting": {"poll_seconds": 0.01}}
    result = run_federation(
        tiny(backends=array(**entry), **small), tmp_path / "run", backends={"mine": partial(Shop, folder=shop)}
    )
    stored = result.experiment.backends.backends["mine"]
    assert (stored.type, stored.factory, stored.shots) == ("backend", "tests.backends.providers.shop:Shop", 20)
    assert len(list((tmp_path / "shop").glob("order-*.json"))) == len(result.rounds[0].clients[0].jobs) > 0
    assert (tmp_path / "run" / "journal.sqlite").exists()


def test_backends_are_refused_where_no_circuit_runs(tiny):
    with pytest.raises(ConfigurationError, match="`backends` has no effect with model.quantum: classical"):
        run_federation(tiny(model__quantum="classical"), backends={"ideal": own.Own()})


def test_backends_that_are_no_mapping_are_refused(tiny):
    with pytest.raises(NoBackendError, match="`backends` must be a mapping of names to machines, such as .* type int"):
        run_federation(tiny(), backends=3)
