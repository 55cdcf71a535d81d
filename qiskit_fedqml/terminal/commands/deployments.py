"""The command that prepares a federation of several organisations."""

from qiskit_fedqml.terminal.arguments import (
    AddressOption,
    BackendsOption,
    DeploymentFolder,
    ExperimentFile,
    RoundSecondsOption,
    SetOption,
    ShardsOption,
    load,
)


def deploy(
    file: ExperimentFile,
    directory: DeploymentFolder,
    backends: BackendsOption = None,
    set_: SetOption = None,
    address: AddressOption = "127.0.0.1:8000",
    shards: ShardsOption = False,
    round_seconds: RoundSecondsOption = 86_400.0,
) -> None:
    """Write what several organisations need to run an experiment together on Flower.

    Each client gets a folder with its own keys, backend, and with --shards its data; README.md in DIR has the commands
    of each machine. Encryption is on, and nodes prove who they are.
    """
    from qiskit_fedqml.terminal.deployments import write_deployment

    write_deployment(load(file, backends, set_), directory, address, round_seconds, shards=shards)
    print(f"{directory / 'README.md'} has the commands of each machine.")
