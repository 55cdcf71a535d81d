"""Jobs of a finished run's model on a device, kept while what they are for is unfinished."""

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.files import make_folder
from qiskit_fedqml.results.lock import FolderLock


@contextmanager
def unfinished_jobs(folder: Path, registry: BackendRegistry, name: str, question: str = "") -> Iterator[None]:
    """Let jobs on a device outlive the process: until what they are for is finished they are kept in a journal.

    Args:
        folder: The result folder.
        registry: The registry that has the backend; it is not opened yet.
        name: The backend's name.
        question: What else than the run's test data the backend is asked about; another one has another journal.

    Raises:
        ResultError: The journal cannot be written, or another process is at it.
    """
    if name not in registry.file.backends or not registry.is_queued(name):
        yield
        return
    # Another entry under the same name asks another question.
    asked = registry.file.backends[name].model_dump_json() + question
    path = folder / "evaluations" / f"{name}-{sha256(asked.encode()).hexdigest()[:8]}.journal" / "journal.sqlite"
    make_folder(path.parent)
    lock = FolderLock(path.parent)
    lock.acquire()
    try:
        with closing(Journal(path)) as journal:
            registry.dispatcher = Dispatcher(journal, registry.file.budget_seconds)
            yield
    finally:
        lock.release()
    shutil.rmtree(path.parent)
