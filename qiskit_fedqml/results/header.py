"""What a checkpoint says of itself, read without its tensors, and so without torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.results.proof import Proof


@dataclass(frozen=True)
class Header:
    """What a checkpoint says without its tensors.

    Args:
        run_id: The run that it belongs to.
        values: Plain values of the state, JSON's.
        records: What proves the records of the rounds up to it.
    """

    run_id: str
    values: dict[str, Any]
    records: Proof


def load_header(path: Path) -> tuple[Header, Mapping[str, Any]]:
    """Read what a checkpoint says without its tensors.

    Returns:
        The header, and all that it was read from: the names and digests of the tensors too.

    Raises:
        ResultError: It is damaged, or of version 0.1, which proved nothing.
    """
    try:
        with reading(path, ResultError), safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ResultError(f"{path} is damaged: {error}.") from error
    text = metadata.get("checkpoint")
    if text is None:
        raise ResultError(f"{path} is no checkpoint of this version; one of version 0.1 can only be resumed with that.")
    if sha256(text.encode()).hexdigest() != metadata.get("sha256"):
        raise ResultError(f"{path} is damaged: the digest of its header is another one.")
    body = json.loads(text)
    return Header(body["run_id"], body["values"], Proof(**body["records"])), body
