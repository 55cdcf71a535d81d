"""What ties the files of a run together: ``manifest.json``, with the run's id, its configuration, and file digests."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.text_files import parse_json, read_text, reading
from qiskit_fedqml.errors import ResultError, shortened
from qiskit_fedqml.files import write_text
from qiskit_fedqml.results.proof import Proof
from qiskit_fedqml.tables import flattened

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Change:
    """A change of a run's configuration after it began.

    Args:
        key: The dotted key.
        before: Its value before, as JSON.
        after: Its value after.
        command: What changed it.
        number: Counts the commands that changed something, from 1.
    """

    key: str
    before: str | None
    after: str | None
    command: str
    number: int


@dataclass(frozen=True)
class Manifest:
    """What a run's files must be.

    Args:
        run_id: The run's own id.
        configuration: The resolved configuration, as ``config.yaml`` must say.
        files: SHA-256 of each file that does not change any more, by its path in the folder.
        records: Proves ``rounds.jsonl`` once the run is finished; until then its checkpoint does, unless the lines were
            rewritten since.
        rewritten: Proves the lines that are being written in their place.
        changes: Changes of the configuration since the run began, in order.
    """

    run_id: str
    configuration: dict[str, Any]
    files: dict[str, str]
    records: Proof | None = None
    rewritten: Proof | None = None
    changes: tuple[Change, ...] = field(default=())

    def save(self, folder: Path) -> None:
        """Write the manifest, whole or not at all.

        Raises:
            OSError: It cannot be written.
        """
        text = json.dumps(asdict(self), indent=1, ensure_ascii=False)
        digest = sha256(text.encode()).hexdigest()
        write_text(folder / MANIFEST, f'{{"sha256": "{digest}",\n"manifest": {text}}}\n')

    def check_file(self, folder: Path, name: str) -> None:
        """Check a file against its digest.

        Raises:
            ResultError: It is missing, or not what the run wrote.
        """
        if name not in self.files:
            raise ResultError(f"{folder / name} does not belong to this run: {MANIFEST} does not know it.")
        if digest_of_file(folder / name) != self.files[name]:
            raise ResultError(f"{folder / name} is damaged, or of another run: {MANIFEST} has another digest of it.")

    def check_configuration(self, folder: Path, found: Mapping[str, Any]) -> None:
        """Check that a configuration is the run's.

        A command that changes it writes the manifest first; where it was stopped before it wrote ``config.yaml``, that
        may still be as it was before.

        Raises:
            ResultError: A key has another value; the keys are named.
        """
        expected, values = flattened(self.configuration), flattened(found)
        before = dict(expected)
        for change in self.changes:
            if change.number == self.changes[-1].number:
                _put(before, change.key, change.before)
        if values in (expected, before):
            return
        keys = sorted({key for key in expected.keys() | values.keys() if expected.get(key) != values.get(key)})
        pairs = [(key, expected.get(key, "not there"), values.get(key, "not there")) for key in keys[:3]]
        changes = [f"{shortened(key, 100)} was {shortened(old)}, is {shortened(new)}" for key, old, new in pairs]
        more = f", and {len(keys) - 3} more" if len(keys) > 3 else ""
        raise ResultError(
            f"{folder / 'config.yaml'} was edited after the run began: {'; '.join(changes)}{more}. Undo that; `fedqml "
            "resume --budget` changes budgets, `fedqml extend --rounds` the number of rounds, and another run all else."
        )

    def changed(self, configuration: Mapping[str, Any], command: str) -> "Manifest":
        """Return the manifest with another configuration, its changes written down."""
        old, new = flattened(self.configuration), flattened(configuration)
        number = self.changes[-1].number + 1 if self.changes else 1
        changes = [
            Change(key, old.get(key), new.get(key), command, number)
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
        return replace(self, configuration=dict(configuration), changes=(*self.changes, *changes))


def load_manifest(folder: Path) -> Manifest | None:
    """Read a folder's manifest; None where there is none, as in folders of version 0.1.

    Raises:
        ResultError: It is damaged.
    """
    path = folder / MANIFEST
    if not path.exists() and not path.is_symlink():
        return None
    body = parse_json(read_text(path, ResultError), str(path), ResultError)
    try:
        values = body["manifest"]
        whole = sha256(json.dumps(values, indent=1, ensure_ascii=False).encode()).hexdigest() == body["sha256"]
        if not whole:
            raise ValueError("it is not what the run wrote")
        proofs = {key: None if values[key] is None else Proof(**values[key]) for key in ("records", "rewritten")}
        changes = tuple(Change(**change) for change in values["changes"])
        return Manifest(**{**values, **proofs, "changes": changes})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(f"{path} is damaged: {error}.") from error


def digest_of_file(path: Path) -> str:
    """Return a file's SHA-256.

    Raises:
        ResultError: It cannot be read.
    """
    with reading(path, ResultError) as file:
        return file_digest(file, "sha256").hexdigest()


def _put(values: dict[str, str], key: str, value: str | None) -> None:
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value
