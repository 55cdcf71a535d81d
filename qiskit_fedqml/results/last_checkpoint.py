"""The last checkpoint in a result folder, as it is read to resume the run."""

from pathlib import Path

from qiskit_fedqml.results.checkpoint import Checkpoint, load_checkpoint
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.header import Header
from qiskit_fedqml.results.record_log import num_lines
from qiskit_fedqml.results.stored_records import StoredRecords


def load_last_checkpoint(folder: RunFolder) -> tuple[Checkpoint | None, StoredRecords]:
    """Read the last checkpoint, each tensor of it checked, and the records of the rounds up to it.

    Where it is damaged, or of another run, a warning says so, and the one before it is taken. Another one says which
    rounds run again because there is no checkpoint after them.

    Args:
        folder: The run's.

    Returns:
        The checkpoint, or None if there is none, and the records.

    Raises:
        ResultError: There are checkpoints, but none that can be used; or the records are damaged.
    """
    manifest = folder.proven_manifest()
    found, records = folder.newest_checkpoint(manifest, _with_header)
    if "model.safetensors" not in manifest.files and not folder.has_warned:
        lost = num_lines(folder.path / "rounds.jsonl") - len(records)
        again = f"the {'round that is' if lost == 1 else f'{lost} rounds that are'} recorded"
        if found is None and lost > 0:
            folder.warn(f"{folder.path} has no checkpoint, so it begins again at round 1, and {again} run again.")
        elif lost > 0:
            last = f"its last checkpoint is that of round {len(records)}"
            folder.warn(f"{folder.path} continues at round {len(records) + 1}: {last}, and {again} after it run again.")
    return found, records


def _with_header(path: Path) -> tuple[Header, Checkpoint]:
    checkpoint = load_checkpoint(path)
    return checkpoint.header, checkpoint
