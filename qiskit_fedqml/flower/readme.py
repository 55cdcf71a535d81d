"""The README of a deployment: which command runs on which machine."""

from datetime import datetime

from qiskit_fedqml.config.experiment import Experiment

ENVIRONMENT = 'export FLWR_HOME="$PWD/flower" FLWR_TELEMETRY_ENABLED=0 FLWR_DISABLE_UPDATE_CHECK=1'
"""Where Flower keeps its files, and that it reports to nobody."""
_QUICK = "export FLWR_SUPEREXEC_TASK_POLL_INTERVAL=0.1"
"""How often Flower looks for work on its own machine, in seconds."""

_README = """# A deployment of qiskit_fedqml on Flower

{clients} clients train {rounds} rounds; one SuperLink brings them together. This folder was written by `fedqml deploy`.
Every machine needs `pip install 'qiskit-fedqml[flower]'`, the same versions everywhere.

| folder | whose it is |
|---|---|
| `app/` | the operator's; Flower sends it to every node |
| `server/` | the operator's: experiment, certificate, result |
| `client-0/` … `client-{last}/` | one for each client: give each organisation its own, and delete it here |

`server/server.key` and each `node.key` are private keys. Whoever has a `node.key` can be that client, so hand the
folders over on a channel that you trust. Certificates end on {until:%Y-%m-%d}.

## The operator: start the SuperLink

On {address}. Keep it running.{hidden}

<!-- superlink -->
```sh
cd server
{environment}
{quick}
flower-superlink --host 127.0.0.1 --port {port} \\
    --ssl-ca-certfile ca.crt --ssl-certfile server.crt --ssl-keyfile server.key --enable-supernode-auth \\
    --database state.db --disable-runtime-dependency-installation
```
{gate}
Once, in another terminal: register the nodes. A node whose key is not registered is refused.

<!-- register -->
```sh
cd server
{environment}
{registrations}
```

## Each organisation: start its SuperNode

In the folder that it was given. {data}

{nodes}

## The operator: start the run

<!-- run -->
```sh
cd server
{environment}
flwr run ../app deployment --stream
```

The result folder is `server/{out}`. `fedqml report`, `fedqml compare` and `fedqml evaluate` read it like any other.

After a crash, of whatever machine, start what is gone by the same command again. Flower takes a SuperNode that was
killed for alive for up to a minute, and refuses it until then. If the SuperLink was among what is gone, also give
`flwr run` again: the run goes on at the next round. The registrations are kept in `server/state.db`.

`server/flower/config.toml` holds the absolute path of `server/ca.crt`; change it if you move the folder.
"""

_HIDDEN = """ It listens to this computer alone, since Flower asks nobody who
starts runs there."""
_GATE = """
Nodes reach it through nginx, which passes on what they need and nothing else:

<!-- gate -->
```sh
cd server
nginx -p "$PWD" -c nginx.conf -e nginx.log -g 'daemon off;'
```
"""
_NODE = """Client {client}, with backend `{backend}`:

<!-- client {client} -->
```sh
cd client-{client}
{environment}
{quick}
flower-supernode --superlink {address} --root-certificates ca.crt \\
    --auth-supernode-private-key node.key --node-config node.toml --port {port}
```"""


def readme(
    experiment: Experiment,
    backends: tuple[str, ...],
    classes: tuple[str, ...],
    address: tuple[str, int],
    inner_port: int,
    node_port: int,
    until: datetime,
    out: str,
    *,
    has_shards: bool,
) -> str:
    """Return the text.

    Args:
        experiment: The experiment.
        backends: The name of each client's backend.
        classes: Names of the classes.
        address: The SuperLink's host and port, as nodes reach it.
        inner_port: The port on which it listens; another one where it is reached through a proxy.
        node_port: The port of the first node's own interface, on its own machine; each node has another one.
        until: When the certificates end.
        out: The result folder.
        has_shards: Whether each client's folder holds its examples.
    """
    reached = f"{address[0]}:{address[1]}"
    shards = "Its part of the data is in `examples.npz`."
    labels = ", ".join(f"{index} is {name!r}" for index, name in enumerate(classes))
    own = (
        "It puts its own examples there as `examples.npz`: `x`, uint8 images (examples, height, width[, 3]) or float "
        f"features (examples, features), and `y`, integer labels, of which {labels}."
    )
    commands = {"environment": ENVIRONMENT, "quick": _QUICK}
    nodes = [
        _NODE.format(client=client, backend=name, address=reached, port=node_port + client, **commands)
        for client, name in enumerate(backends)
    ]
    register = [f"flwr supernode register nodes/client-{client}.pub deployment" for client in range(len(backends))]
    return _README.format(
        clients=len(backends),
        rounds=experiment.federation.rounds,
        last=len(backends) - 1,
        until=until,
        address=reached,
        port=inner_port,
        hidden=_HIDDEN if inner_port != address[1] else "",
        gate=_GATE if inner_port != address[1] else "",
        registrations="\n".join(register),
        data=f"{shards if has_shards else own} `backends.yaml` holds its backend: it may put its own device there.",
        nodes="\n\n".join(nodes),
        out=out,
        **commands,
    )
