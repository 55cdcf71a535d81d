"""The schema of an experiment's section `tracking`: where its curves are shown while it runs."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from qiskit_fedqml.configuration import StrictModel


class MlflowConfig(StrictModel):
    """Curves in MLflow, in the MLflow experiment ``experiment``; needs the extra ``mlflow``.

    ``uri`` is MLflow's tracking URI, a server's or a store's; None takes MLflow's own, from ``MLFLOW_TRACKING_URI``.
    Names and passwords do not belong into it, because the configuration is stored with the result: MLflow takes them
    from ``MLFLOW_TRACKING_USERNAME``, ``MLFLOW_TRACKING_PASSWORD`` and ``MLFLOW_TRACKING_TOKEN``.
    """

    uri: str | None = None
    experiment: Annotated[str, Field(min_length=1)] = "qiskit_fedqml"

    @model_validator(mode="after")
    def _uri_is_no_secret(self) -> "MlflowConfig":
        # Said of the section, not of the key, so that the error does not show the value.
        parts = urlsplit(self.uri or "")
        if "@" in parts.netloc or re.search("password|token|secret", parts.query, re.IGNORECASE):
            raise ValueError(
                "tracking.mlflow.uri must hold no name and no password; set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or leave it out and set MLFLOW_TRACKING_URI"
            )
        return self


class TrackingConfig(StrictModel):
    """Where curves are shown while a run goes on; they change nothing in its result.

    ``tensorboard: true`` writes them to ``tensorboard/`` in the result folder; needs the extra ``tensorboard``.
    """

    tensorboard: bool = False
    mlflow: MlflowConfig | None = None
