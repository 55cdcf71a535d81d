import re
import ssl
import stat
import tomllib
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_ssh_private_key, load_ssh_public_key

from qiskit_fedqml.config.loading import load_experiment
from qiskit_fedqml.data.preparation import prepare_data
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.flower.deploying import Address, deploy
from qiskit_fedqml.flower.server_config import ServerConfig, config_or_error
from tests.conftest import ROOT, make_tiny
from tests.documents import read_page

DEVICE = {"type": "ibm", "device": "FakeManilaV2", "budget_seconds": 60.0}
ARRAY = {"backends": {"ideal": {"type": "aer"}, "device": DEVICE}, "assignment": {"clients": {1: "device"}}}
OBJECT = {"backends": {"ideal": {"type": "aer"}, "mine": {"type": "object"}}, "assignment": {"clients": {1: "mine"}}}
SERVERS_OBJECT = {**OBJECT, "assignment": {"server": "mine"}}


@pytest.fixture
def deployment(tmp_path):
    """Return the folder of a deployment with shards."""
    folder = tmp_path / "deployment"
    deploy(make_tiny(backends=ARRAY), folder, Address("fl.example.org", 8123), 7200.0, shards=True)
    return folder


def test_each_client_has_its_own_part_of_the_data(deployment):
    data = prepare_data(make_tiny())
    for client, rows in enumerate(data.shards):
        with np.load(deployment / f"client-{client}" / "examples.npz") as arrays:
            assert np.array_equal(arrays["x"], data.train.features[rows])
            assert np.array_equal(arrays["y"], data.train.labels[rows])


def test_without_shards_there_are_no_data(tmp_path):
    deploy(make_tiny(), tmp_path / "deployment", Address("localhost", 8000))
    assert not list(tmp_path.rglob("*.npz"))
    assert "labels, of which 0 is '0', 1 is '1'" in (tmp_path / "deployment" / "README.md").read_text(encoding="utf-8")


def test_secrets_are_for_their_owner_alone(deployment):
    secret = {path for path in deployment.rglob("*") if path.suffix in (".key", ".npz")}
    assert len(secret) == 9
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secret)
    assert not [path for path in (deployment / "app").rglob("*") if path.suffix not in (".py", ".toml", "")]


def test_keys_belong_together(deployment):
    pairs = set()
    for client in range(4):
        private = load_ssh_private_key((deployment / f"client-{client}" / "node.key").read_bytes(), None)
        public = load_ssh_public_key((deployment / "server" / "nodes" / f"client-{client}.pub").read_bytes())
        assert private.public_key() == public
        pairs.add(private.private_numbers().private_value)
    assert len(pairs) == 4
    server = deployment / "server"
    authority = x509.load_pem_x509_certificate((server / "ca.crt").read_bytes())
    certificate = x509.load_pem_x509_certificate((server / "server.crt").read_bytes())
    certificate.verify_directly_issued_by(authority)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "fl.example.org"]
    assert (deployment / "client-3" / "ca.crt").read_bytes() == (server / "ca.crt").read_bytes()
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server / "server.crt", server / "server.key")


def test_nodes_have_their_own_entry_and_the_server_the_experiment(deployment):
    text = (deployment / "client-1" / "backends.yaml").read_text(encoding="utf-8")
    assert "device" in text
    assert "ideal" not in text
    assert tomllib.loads((deployment / "client-1" / "node.toml").read_text(encoding="utf-8"))["backend"] == "device"
    assert load_experiment(deployment / "server" / "experiment.yaml") == make_tiny(backends=ARRAY)
    app = tomllib.loads((deployment / "app" / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["flwr"]["app"]
    assert ServerConfig.of(app["config"]).round_seconds == 7200.0


def test_nothing_is_overwritten(deployment):
    before = (deployment / "server" / "ca.crt").read_bytes()
    with pytest.raises(ResultError, match="exists already; choose another folder"):
        deploy(make_tiny(), deployment, Address("localhost", 8000))
    assert (deployment / "server" / "ca.crt").read_bytes() == before


@pytest.mark.parametrize(
    ("address", "is_refused"),
    [
        ("127.0.0.1:9094", True),
        ("localhost:9095", True),
        ("127.0.0.1:9097", True),
        ("127.0.0.1:9098", False),
        ("127.0.0.1:9093", False),
        ("fl.example.org:9093", True),  # 9094 behind the proxy
        ("fl.example.org:9092", False),
    ],
)
def test_a_port_of_the_nodes_is_refused(address, is_refused, tmp_path):
    experiment = make_tiny(federation__clients=4)
    with ExitStack() as stack:
        if is_refused:
            stack.enter_context(pytest.raises(ConfigurationError, match=r"nodes' own \(9094 to 9097\); choose another"))
        deploy(experiment, tmp_path / "d", Address.parse(address))
    assert (tmp_path / "d").exists() != is_refused


def test_a_deployment_that_fails_leaves_nothing(tmp_path):
    broken = make_tiny(data={"dataset": "npz", "path": "none.npz"})
    with pytest.raises(Exception, match=r"none\.npz"):
        deploy(broken, tmp_path / "deployment", Address("localhost", 8000))
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_filled_and_its_neighbours_are_left_alone(tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    (tmp_path / "d.part").mkdir()
    (tmp_path / "d.part" / "mine.txt").write_text("mine", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "d")
    deploy(make_tiny(), Path(), Address("localhost", 8000))
    assert {path.name for path in tmp_path.iterdir()} == {"d", "d.part"}
    assert (tmp_path / "d.part" / "mine.txt").exists()
    config = tomllib.loads((tmp_path / "d" / "server" / "flower" / "config.toml").read_text(encoding="utf-8"))
    assert Path(config["superlink"]["deployment"]["root-certificates"]).samefile(tmp_path / "d" / "server" / "ca.crt")


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(seconds, tmp_path):
    with pytest.raises(ConfigurationError, match="--round-seconds must be above 0 and at most 1e8"):
        deploy(make_tiny(), tmp_path / "d", Address("localhost", 8000), seconds)


@pytest.mark.parametrize(
    ("text", "host", "port", "inner_port"),
    [
        ("fl.example.org", "fl.example.org", 8000, 8001),
        ("10.0.0.1:65535", "10.0.0.1", 65535, 1),
        ("127.0.0.1:8000", "127.0.0.1", 8000, 8000),
        ("localhost", "localhost", 8000, 8000),
    ],
)
def test_addresses(text, host, port, inner_port):
    address = Address.parse(text)
    assert (address.host, address.port, address.inner_port) == (host, port, inner_port)


@pytest.mark.parametrize(
    "text", ["", ":80", "a:b", "a:0", "a:65536", "a b", "a;rm -r x:80", "http://a:80", "a:1:2", "$(x)"]
)
def test_addresses_that_are_none(text):
    with pytest.raises(ConfigurationError, match="--address must be HOST or HOST:PORT"):
        Address.parse(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backends": OBJECT}, "mine would be an object of Python, which clients elsewhere are not given"),
        ({"backends": SERVERS_OBJECT}, "mine would be an object that is given from Python, but a server"),
        ({"ledger": True}, "`ledger` cannot be kept of clients elsewhere, which do not sign their updates yet"),
        ({"federation__lockstep": "auto"}, "`federation.lockstep` has no effect on clients elsewhere"),
    ],
)
def test_how_computers_here_are_used_is_refused(changes, message, tmp_path):
    with pytest.raises(ConfigurationError, match=message):
        deploy(make_tiny(**{"backends": ARRAY, **changes}), tmp_path / "d", Address("localhost", 8000))
    assert not (tmp_path / "d").exists()


def test_a_budget_of_the_whole_run_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="`budget_seconds` of a whole run"):
        deploy(make_tiny(backends={**ARRAY, "budget_seconds": 10.0}), tmp_path / "d", Address("localhost", 8000))


def test_too_many_clients_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="at most 1000, but `federation.clients` is 1001"):
        deploy(make_tiny(federation__clients=1001), tmp_path / "d", Address("localhost", 8000))


def test_the_server_says_where_it_looked_for_its_experiment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="start flower-superlink in the folder that has it"):
        config_or_error({})
    with pytest.raises(ConfigurationError, match="key 'away-seconds': must be greater than 0, but got -600.0"):
        config_or_error({"away-seconds": -600.0})
    with pytest.raises(ConfigurationError, match="unknown key 'away-second'; did you mean 'away-seconds'?"):
        config_or_error({"away-second": 3})
    with pytest.raises(ConfigurationError, match="unknown key 'round'"):
        config_or_error({"round": 3})


def test_the_documentation_shows_the_commands_of_a_deployment(tmp_path):
    deploy(make_tiny(federation__clients=3), tmp_path / "d", Address("fl.example.org", 8000), shards=True)
    text = (tmp_path / "d" / "README.md").read_text(encoding="utf-8")
    shown = [block for block in read_page("docs/deployment.md").blocks if "not run:" in block.hints]
    assert len(shown) == 5
    assert all(block.text in text for block in shown)


def test_every_command_keeps_telemetry_and_update_checks_off(deployment):
    text = (deployment / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 8
    assert "--host 127.0.0.1" in blocks[0]
    for block in blocks:
        if "nginx" in block:
            continue
        assert "FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1" in block
        assert "--insecure" not in block
    assert str(ROOT) not in text
