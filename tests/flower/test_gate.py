"""Nodes elsewhere come through nginx, and reach nothing but what is theirs."""

import shutil
import ssl
import urllib.error
import urllib.request

import pytest

from qiskit_fedqml.flower.deploying import Address, deploy
from tests.conftest import make_tiny
from tests.flower.machines import Machines, free_ports

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
]


@pytest.fixture
def machines(tmp_path):
    """Return a deployment for nodes elsewhere, which a test starts on this computer."""
    port, node_port = free_ports(2)
    machines = Machines(tmp_path / "deployment")
    deploy(make_tiny(), machines.folder, Address("fl.example.org", port), shards=True)
    readme = machines.folder / "README.md"
    text = readme.read_text(encoding="utf-8").replace("fl.example.org", "localhost").replace("9094\n", f"{node_port}\n")
    readme.write_text(text, encoding="utf-8")
    machines.port = port
    yield machines
    machines.kill_all()


def status(machines, port, path):
    """Return what an HTTPS server answers to an empty request, trusting the deployment's own authority."""
    context = ssl.create_default_context(cafile=machines.folder / "server" / "ca.crt")
    request = urllib.request.Request(f"https://localhost:{port}{path}", data=b"", method="POST")
    try:
        return urllib.request.urlopen(request, context=context, timeout=400).status
    except urllib.error.HTTPError as error:
        return error.code


def test_nodes_come_through_the_gate_and_nobody_reaches_the_operators_side(machines):
    machines.start_superlink()
    registered = machines.run("register")
    assert registered.returncode == 0, registered.stdout + registered.stderr
    machines.start_gate()
    machines.start_node(0)
    assert status(machines, machines.port + 1, "/v1/control/register-node") != 403
    for path in ("/v1/control/register-node", "/v1/control/start-run", "/v1/runtime/acquire-task", "/docs", "/"):
        assert status(machines, machines.port, path) == 403
    assert status(machines, machines.port, "/v1/fleet/../control/register-node") in (400, 403)
    assert status(machines, machines.port, "/v1/fleet/%2e%2e/control/register-node") in (400, 403)
    assert status(machines, machines.port, "/v1/fleet/pull-messages") not in (200, 403)
