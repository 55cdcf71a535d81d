"""A deployment written down: a folder for the server, one for each client, the app, the keys, and the commands."""

import io
import json
import os
import re
import secrets
import shutil
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.array.used import server_backends
from qiskit_fedqml.config.backends import AerEntry, CalibrationFile
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.own_data import HuggingFaceData
from qiskit_fedqml.config.remote import check_remote
from qiskit_fedqml.config.secure import SecureConfig
from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.config.yaml_files import dump_yaml
from qiskit_fedqml.data.loading import load_dataset
from qiskit_fedqml.data.location import find_data
from qiskit_fedqml.data.preparation import prepare_data
from qiskit_fedqml.errors import BackendError, ConfigurationError, DataError, ResultError, shown
from qiskit_fedqml.files import make_folder, write_bytes, writing
from qiskit_fedqml.flower.gate import nginx_configuration
from qiskit_fedqml.flower.keys import make_node_keys, make_server_keys
from qiskit_fedqml.flower.readme import readme

_MOST_CLIENTS = 1000
_OUT = "result"
_NODE_PORT = 9094
"""Flower's own for a node's interface on its own machine."""

_APP = """# Flower's description of the app; the values under `config` can be changed by `flwr run --run-config`.
[project]
name = "fedqml-deployment"
version = "1.0.0"
description = "An experiment of qiskit_fedqml on the nodes of several organisations"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "fedqml"
fab-include = ["fedqml_app/*.py"]

[tool.flwr.app.components]
serverapp = "fedqml_app.server:app"
clientapp = "fedqml_app.client:app"

[tool.flwr.app.config]
experiment = "experiment.yaml"
out = "{out}"
round-seconds = {round_seconds}
start-seconds = 3600.0
away-seconds = 1800.0
attempts = 3
"""
_MODULES = {
    "__init__.py": '"""What Flower starts of qiskit_fedqml."""\n',
    "server.py": '"""The server."""\n\nfrom qiskit_fedqml.flower import server_app\n\napp = server_app.app\n',
    "client.py": '"""A node."""\n\nfrom qiskit_fedqml.flower import client_app\n\napp = client_app.app\n',
}


@dataclass(frozen=True)
class Address:
    """Where nodes reach the SuperLink.

    Args:
        host: A name or an IP address.
        port: The port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read HOST or HOST:PORT; the port is 8000 unless given.

        Raises:
            ConfigurationError: It is no such thing.
        """
        host, _, port = text.partition(":")
        if not re.fullmatch(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?", text) or not 0 < int(port or 8000) < 65536:
            raise ConfigurationError(
                f"--address must be HOST or HOST:PORT, such as fl.example.org:8000, but got {shown(text)}."
            )
        return cls(host, int(port or 8000))

    @property
    def inner_port(self) -> int:
        """The port on which the SuperLink listens, to its own computer alone.

        It is the next one where nodes run elsewhere: they come through a proxy.
        """
        try:
            is_local = ip_address(self.host).is_loopback
        except ValueError:
            is_local = self.host == "localhost"
        return self.port if is_local else self.port % 65535 + 1


def deploy(
    experiment: Experiment, folder: Path, address: Address, round_seconds: float = 86_400.0, *, shards: bool = False
) -> None:
    """Write a deployment.

    Args:
        experiment: What is to be run; its data give the classes and the server's test data.
        folder: Where; it must not exist, or be empty.
        address: Where nodes reach the SuperLink.
        round_seconds: How long a client may take for its task, its device's queue included.
        shards: Whether the experiment's training data are shared out to the clients' folders; otherwise each
            organisation has its own.

    Raises:
        ResultError: The folder is not empty, or cannot be written.
        ConfigurationError: The experiment cannot be deployed, the time is none, or the port is one of the nodes' own.
        DataError: Its data are missing or do not fit.
    """
    with writing(folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ResultError(f"{folder} exists already; choose another folder for the deployment.")
    assignment = BackendRegistry(experiment.backends, Path()).assign(experiment.federation.clients)
    _check(experiment, assignment, round_seconds)
    _check_ports(address, len(assignment))
    whole = folder.resolve()  # "." and ".." have no name of their own
    part = whole.with_name(f"{whole.name}.{secrets.token_hex(4)}.part")
    try:
        _write(experiment, assignment, part, folder, address, round_seconds, shards=shards)
        make_folder(folder)
        with writing(folder):
            for made in part.iterdir():
                made.replace(folder / made.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check(experiment: Experiment, assignment: tuple[str, ...], round_seconds: float) -> None:
    check_remote(experiment)
    if not 0 < round_seconds <= 1e8:
        raise ConfigurationError(f"--round-seconds must be above 0 and at most 1e8, but got {round_seconds:g}.")
    if len(assignment) > _MOST_CLIENTS:
        raise ConfigurationError(
            f"A deployment has a node for each client, and at most {_MOST_CLIENTS}, but `federation.clients` is "
            f"{len(assignment)}."
        )
    if experiment.backends.budget_seconds is not None:
        raise ConfigurationError(
            "`budget_seconds` of a whole run cannot be kept by nodes that do not know of each other; give each "
            "device's entry its own."
        )
    server_backends(experiment)


def _check_ports(address: Address, num_nodes: int) -> None:
    """Check that server and nodes, which may share a computer, do not listen on the same port."""
    last = _NODE_PORT + num_nodes - 1
    used = "it" if address.inner_port == address.port else f"it, or {address.inner_port} behind it,"
    if any(_NODE_PORT <= port <= last for port in (address.port, address.inner_port)):
        nodes = f"{_NODE_PORT} to {last}" if num_nodes > 1 else f"{_NODE_PORT}"
        raise ConfigurationError(
            f"--address must have a port that no node listens on, but got {address.port}: {used} is one of the nodes' "
            f"own ({nodes}); choose another one, such as 8000."
        )


def _write(
    experiment: Experiment,
    assignment: tuple[str, ...],
    part: Path,
    folder: Path,
    address: Address,
    round_seconds: float,
    *,
    shards: bool,
) -> None:
    keys = make_server_keys(address.host)
    data = prepare_data(experiment) if shards else None
    classes = data.classes if data else load_dataset(experiment.data, experiment.seed).classes
    for name, text in _MODULES.items():
        _put(part / "app" / "fedqml_app" / name, text.encode())
    _put(part / "app" / "pyproject.toml", _APP.format(out=_OUT, round_seconds=float(round_seconds)).encode())
    server = part / "server"
    _put(server / "experiment.yaml", dump_yaml(_for_server(experiment)).encode())
    _put(server / "ca.crt", keys.authority)
    _put(server / "server.crt", keys.certificate)
    _put(server / "server.key", keys.key, secret=True)
    _put(server / "flower" / "config.toml", _connection(folder.absolute() / "server" / "ca.crt", address.inner_port))
    if address.inner_port != address.port:
        _put(server / "nginx.conf", nginx_configuration(address.port, address.inner_port).encode())
    for client, name in enumerate(assignment):
        own = part / f"client-{client}"
        pair = make_node_keys()
        _put(server / "nodes" / f"client-{client}.pub", pair.public)
        _put(own / "ca.crt", keys.authority)
        _put(own / "node.key", pair.private, secret=True)
        _put(own / "node.toml", _node(client, name, experiment.aggregation.secure))
        _put(own / "backends.yaml", dump_yaml(_backends(experiment, name, own)).encode())
        if data:
            rows = data.shards[client]
            buffer = io.BytesIO()
            np.savez(buffer, x=data.train.features[rows], y=data.train.labels[rows])
            _put(own / "examples.npz", buffer.getvalue(), secret=True)
    text = readme(
        experiment,
        assignment,
        classes,
        (address.host, address.port),
        address.inner_port,
        _NODE_PORT,
        keys.until,
        _OUT,
        has_shards=shards,
    )
    _put(part / "README.md", text.encode())


def _put(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Write a file; a secret one is never readable by others, not even while it is written."""
    make_folder(path.parent)
    if not secret:
        write_bytes(path, content)
        return
    with writing(path), os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _for_server(experiment: Experiment) -> dict[str, Any]:
    """Return the server's experiment: paths that it can find from wherever it is started."""
    values = experiment.resolved()
    for key in ("path", "test_path"):
        if path := values["data"].get(key):
            may_be_on_hub = isinstance(experiment.data, HuggingFaceData)
            with suppress(DataError) if may_be_on_hub else nullcontext():
                values["data"][key] = str(find_data(path).absolute())
    weights = experiment.features.weights
    if weights is not None and weights != "torchvision":
        values["features"]["weights"] = str(find_data(weights).absolute())
    return values


def _backends(experiment: Experiment, name: str, own: Path) -> dict[str, Any]:
    """Return a client's backends file; a calibration that its entry names is put next to it."""
    entry = experiment.backends.backends[name]
    if isinstance(entry, AerEntry) and isinstance(entry.noise, CalibrationFile):
        with reading(Path(entry.noise.calibration), BackendError) as file:
            _put(own / "calibration.json", file.read())
        entry = entry.model_copy(update={"noise": CalibrationFile(calibration="calibration.json")})
    return {"backends": {name: entry.model_dump(mode="json")}, "assignment": {"server": name, "default": name}}


def _node(client: int, backend: str, secure: SecureConfig | None) -> bytes:
    only = "" if secure is None else f"# It shows no update to the server.\nsecure_threshold = {secure.threshold}\n"
    return (
        f"# Which client this node is, and where it has its data and its backend.\nclient = {client}\n"
        f'data = "examples.npz"\nbackends = "backends.yaml"\nbackend = {json.dumps(backend)}\n{only}'
    ).encode()


def _connection(authority: Path, port: int) -> bytes:
    return (
        f'[superlink]\ndefault = "deployment"\n\n[superlink.deployment]\naddress = "127.0.0.1:{port}"\n'
        f"root-certificates = {json.dumps(str(authority), ensure_ascii=False)}\n"
    ).encode()
