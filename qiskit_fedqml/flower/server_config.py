"""What the operator of a deployment can set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from qiskit_fedqml.config.strict import PositiveInteger, Seconds, StrictModel
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError


def _with_hyphens(name: str) -> str:
    return name.replace("_", "-")


class ServerConfig(StrictModel):
    """What ``[tool.flwr.app.config]`` of the app, or ``flwr run --run-config``, says.

    Args:
        experiment: The experiment file; a relative path starts where the SuperLink was started.
        out: The result folder, likewise.
        round_seconds: How long a client may take for its task, its device's queue included.
        start_seconds: How long the nodes may take to come and to introduce themselves.
        away_seconds: For how long a node may be out of reach before its task has failed.
        attempts: How often a task is sent at most, where its node is lost.
    """

    model_config = ConfigDict(alias_generator=_with_hyphens, validate_by_name=True, validate_by_alias=True)

    experiment: Annotated[str, Field(min_length=1)] = "experiment.yaml"
    out: Annotated[str, Field(min_length=1)] = "result"
    round_seconds: Seconds = 86_400.0
    start_seconds: Seconds = 3_600.0
    away_seconds: Seconds = 1_800.0
    attempts: Annotated[PositiveInteger, Field(le=1000)] = 3

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "ServerConfig":
        """Take the values of the app's configuration, whose keys have hyphens.

        Raises:
            ConfigurationError: One is unknown or wrong.
        """
        return validate(cls, values, "the app's configuration")


def config_or_error(values: Mapping[str, Any]) -> ServerConfig:
    """Return the server's configuration.

    Raises:
        ConfigurationError: A value is unknown or wrong, or there is no experiment file.
    """
    config = ServerConfig.of(values)
    if not Path(config.experiment).is_file():
        raise ConfigurationError(
            f"There is no {config.experiment} in {Path().absolute()}: start flower-superlink in the folder that has it."
        )
    return config
