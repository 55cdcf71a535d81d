import numpy as np
import pytest
import torch

from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.config.devices import IBMEntry
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.config.yaml_files import dump_yaml
from qiskit_fedqml.errors import BackendError, ConfigurationError, DataError
from qiskit_fedqml.federation.messages import ClientTask, Status
from qiskit_fedqml.flower.answers import update_of
from qiskit_fedqml.flower.node import Node
from qiskit_fedqml.flower.node_config import NodeConfig
from qiskit_fedqml.flower.protocol import MODEL, SUMS, Answer, Question, Work
from qiskit_fedqml.flower.records import packed, values_in

FEATURES = np.ones((3, 2), np.float32)
QUESTION = Question(features=FeaturesConfig(), classes=("cat", "dog"))


@pytest.fixture
def make(tmp_path):
    """Return a function that makes a node."""

    def make(x=FEATURES, y=(0, 1, 1), entry=None, **config):
        np.savez(tmp_path / "examples.npz", x=x, y=np.asarray(y))
        backends = {"backends": {"own": entry or {"type": "aer"}}, "assignment": {"server": "own", "default": "own"}}
        (tmp_path / "backends.yaml").write_text(dump_yaml(backends), encoding="utf-8")
        values = {"client": 2, "data": str(tmp_path / "examples.npz"), "backends": str(tmp_path / "backends.yaml")}
        return Node(NodeConfig.of({**values, "backend": "own"} | config))

    return make


def test_only_sums_and_counts_leave_a_node(make):
    question = QUESTION.model_copy(update={"features": FeaturesConfig(scaling={"method": "client_sums"})})
    introduction, states = make(x=np.array([[1, 2], [3, 4], [5, 6]], np.float32)).introduce(question)
    assert (introduction.client, introduction.examples, introduction.num_features) == (2, 3, 2)
    assert states.keys() == {SUMS}
    assert {name: tensor.tolist() for name, tensor in states[SUMS].items()} == {
        "total": [9.0, 12.0],
        "total_squared": [35.0, 56.0],
    }
    _, states = make().introduce(QUESTION)
    assert states == {}


def test_a_private_node_says_nothing_of_its_examples_and_trains_with_noise(make):
    node = make(x=np.random.default_rng(1).normal(size=(30, 2)).astype(np.float32), y=[0, 1] * 15)
    introduction, states = node.introduce(QUESTION.model_copy(update={"is_private": True}))
    assert (introduction.examples, introduction.digest, states) == (0, None, {})
    options = {"noise_multiplier": 1.0, "max_norm": 1.0, "sampling_rate": 0.5}
    work = Work(
        run="0" * 32,
        server_step=1,
        client=2,
        trains=True,
        kept=(),
        seed=1,
        classes=QUESTION.classes,
        features=QUESTION.features,
        model=ModelConfig.model_validate({"head": "none", "circuit": {"num_qubits": 2, "num_layers": 1}}),
        federation=FederationConfig(clients=3, clients_per_round=1, rounds=1, batch_size=4, learning_rate=0.1),
        privacy=PrivacyConfig.model_validate({"delta": 1e-5, "examples": options}),
    )
    model = {"quantum.weight": torch.zeros(6)}
    scaling = {"mean": torch.zeros(1, dtype=torch.float64), "deviation": torch.ones(1, dtype=torch.float64)}
    first, second = (node.work(work, model, {}, scaling) for _ in range(2))
    answer = Answer.of(first, 1)
    assert (answer.status, answer.examples, answer.train_loss) == (Status.OK, 0, None)
    assert (answer.usage.circuits, answer.usage.executions, answer.usage.jobs) == (0, 0, 0)
    assert not torch.equal(first.state["quantum.weight"], second.state["quantum.weight"])
    records = packed(answer, {MODEL: first.state})
    task = ClientTask(1, 2, "own", model)
    assert update_of(task, values_in(records, Answer), records, model, 0, 1.0).status is Status.OK


def test_the_account_stays_at_the_node(make):
    entry = {"type": "ibm", "device": "ibm_fez", "account": "mine", "instance": "crn:v1:secret", "channel": "ibm_cloud"}
    introduction, _ = make(entry=entry).introduce(QUESTION)
    assert isinstance(introduction.entry, IBMEntry)
    assert "mine" not in introduction.model_dump_json()
    assert "crn" not in introduction.model_dump_json()
    assert introduction.entry.device == "ibm_fez"


def test_a_machine_of_the_nodes_own_is_made_by_its_function(make):
    entry = {"type": "python", "python": "tests.own_machines:noise_model", "shots": 10}
    introduction, _ = make(entry=entry).introduce(QUESTION)
    assert introduction.entry.python == "tests.own_machines:noise_model"
    with pytest.raises(ConfigurationError, match=r"'own' would be an object of Python.*\(type: python\)"):
        make(entry={"type": "object"})


def test_images_need_a_backbone(make):
    with pytest.raises(DataError, match="The data are images"):
        make(x=np.zeros((3, 4, 4), np.uint8)).introduce(QUESTION)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": (0, 1, 2)}, "y must be from 0 to 1, but has"),
        ({"y": (0, -1, 1)}, "y must be from 0 to 1, but has"),
        ({"y": (0, 1)}, "y must be 3 integers"),
        ({"x": np.full((3, 2), np.nan)}, "x must be finite"),
        ({"x": np.zeros((3, 2), np.int64)}, "x must be uint8 images"),
        ({"x": np.array([{}, {}, {}])}, "made of Python objects"),
    ],
)
def test_examples_that_do_not_fit_are_refused(make, changes, message):
    with pytest.raises(DataError, match=message):
        make(**changes).introduce(QUESTION)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client": -1}, "client"),
        ({"client": "2"}, "client"),
        ({"shard": "x"}, "unknown key 'shard'"),
        ({"backend": "its"}, "has no backend 'its'"),
        ({"backends": "none.yaml"}, "none.yaml"),
    ],
)
def test_node_config_is_checked(make, changes, message):
    with pytest.raises(ConfigurationError, match=message):
        make(**changes)


def test_missing_calibration_is_named(make):
    with pytest.raises(BackendError, match=r"gone\.json"):
        make(entry={"type": "aer", "noise": {"calibration": "gone.json"}}).introduce(QUESTION)


def test_a_changed_file_is_noticed(make, tmp_path):
    node = make()
    assert not node.has_changed()
    np.savez(tmp_path / "examples.npz", x=np.ones((4, 2), np.float32), y=np.array([0, 1, 1, 0]))
    assert node.has_changed()
