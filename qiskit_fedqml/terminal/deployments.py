"""`fedqml deploy`, which needs the extra that not everybody installs."""

from pathlib import Path

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ConfigurationError


def write_deployment(experiment: Experiment, folder: Path, address: str, round_seconds: float, *, shards: bool) -> None:
    """Write a deployment.

    Raises:
        ConfigurationError: The extra is not installed, or the experiment or the address cannot be deployed.
        DataError: The data are missing or do not fit.
        ResultError: The folder is not empty, or cannot be written.
    """
    try:
        from qiskit_fedqml.flower.deploying import Address, deploy
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"`fedqml deploy` needs {error.name}; install it by `pip install 'qiskit-fedqml[flower]'`."
        ) from error
    deploy(experiment, folder, Address.parse(address), round_seconds, shards=shards)
