"""The schema of an experiment's section `tracking`: where its curves are shown while it runs."""

import re
from typing import Annotated
from urllib.parse import unquote

from pydantic import Field, model_validator

from qiskit_fedqml.config.strict import Flag, StrictModel

_SECRET = r"(?<![\w-])(?:[\w-]*(?:pass|pwd|token|secret)[\w-]*|[\w-]*(?<!ssl)(?<!ssl[_-])key)"
"""The name of a value that is a secret; an ``sslkey`` is a file's path."""

_ADDRESS_WITH_NAME = re.compile(r"^[^:/]*:?//[^/].*@", re.DOTALL)
"""Greedy, since a password may hold slashes; three slashes begin a path, which may hold an ``@``."""

_VALUE = r"(?:(?:Basic|Bearer) )?(?:\"[^\"]*\"|'[^']*'|[^&\s]+)"


def without_secrets(text: str) -> str:
    """Return a text, such as an error's, without the names, passwords and keys in it."""
    text = re.sub(r"//\S*@", "//", text)
    separator = r"[\"']?\s*(?:[=:]|%3D)\s*"
    return re.sub(rf"({_SECRET}|authorization)({separator}){_VALUE}", r"\1\2…", text, flags=re.IGNORECASE)


class MlflowConfig(StrictModel):
    """Curves in MLflow, in the MLflow experiment ``experiment``; needs the extra ``mlflow``.

    ``uri`` is MLflow's tracking URI, a server's or a store's; None takes MLflow's own, from ``MLFLOW_TRACKING_URI``.
    Names and passwords do not belong into it, because the configuration is stored with the result: MLflow takes them
    from ``MLFLOW_TRACKING_USERNAME``, ``MLFLOW_TRACKING_PASSWORD`` and ``MLFLOW_TRACKING_TOKEN``.
    """

    uri: str | None = None
    """MLflow's tracking URI; none takes MLflow's own."""
    experiment: Annotated[str, Field(min_length=1)] = "qiskit_fedqml"
    """The MLflow experiment."""

    @model_validator(mode="after")
    def _uri_is_no_secret(self) -> "MlflowConfig":
        # Said of the section, not of the key, so that the error does not show the value.
        uri = self.uri or ""
        if _ADDRESS_WITH_NAME.search(uri) or re.search(rf"{_SECRET}\s*=", unquote(uri), re.IGNORECASE):
            raise ValueError(
                "tracking.mlflow.uri must hold no name and no password (no @, and no password=, key= or token=); set "
                "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or leave it out and set MLFLOW_TRACKING_URI"
            )
        return self


class TrackingConfig(StrictModel):
    """Where curves are shown during a run; they change nothing in its result.

    ``tensorboard: true`` writes them to ``tensorboard/`` in the result folder; needs the extra ``tensorboard``.
    """

    tensorboard: Flag = False
    """Whether curves are written to tensorboard/ in the result folder."""
    mlflow: MlflowConfig | None = None
    """Curves in MLflow; none writes none."""
