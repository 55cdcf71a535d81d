"""The registry of machines: opens each backend at its first use, and says which client has which."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import file_digest
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from qiskit_fedqml.backends.array.own import Given, backend_of, made_by, unwrapped
from qiskit_fedqml.backends.base import Backend, PackingBackend
from qiskit_fedqml.backends.calibration import Calibration, fake_calibration, load_calibration
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.machine import Machine
from qiskit_fedqml.backends.noise import noise_from_calibration, noise_from_rates
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.config.assignment import Cycle, clients_of
from qiskit_fedqml.config.backends import AerEntry, BackendsFile, CalibrationFile, StatedNoise
from qiskit_fedqml.config.backends_file import read_backends
from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry, ProviderEntry
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.own_machines import ObjectEntry, OwnEntry, PythonEntry
from qiskit_fedqml.config.showing import backends_as_html, backends_in_words
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.config.text_files import reading
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import BackendError, ConfigurationError, NoBackendError, shown
from qiskit_fedqml.seeds import derive_seed
from qiskit_fedqml.simulation.noise import Noise


class BackendRegistry(Mapping[str, Backend]):
    """Backends by name, opened at first use, and their assignment to clients.

    Args:
        file: The checked content of a backends file.
        folder: Where relative paths in it start.
        dispatcher: Sends the jobs of devices; by default one that forgets them with the process.
        objects: What the entries of type ``object`` stand for, by name: whatever can be made into a backend.
    """

    def __init__(
        self,
        file: BackendsFile,
        folder: Path,
        dispatcher: Dispatcher | None = None,
        objects: Given | None = None,
    ) -> None:
        self.file = file
        self.folder = folder
        self.dispatcher = dispatcher or Dispatcher(budget_seconds=file.budget_seconds)
        self._opened: dict[str, Backend] = {}
        self._objects = dict(objects or {})
        self._assigned: dict[int, tuple[str, ...]] = {}

    @classmethod
    def from_yaml(cls, path: str | Path, backends: Given | None = None) -> "BackendRegistry":
        """Read a backends file.

        Args:
            path: The file.
            backends: As :meth:`from_mapping`.

        Raises:
            ConfigurationError: The file cannot be read, or says something unknown or inconsistent.
        """
        path = Path(path)
        return cls.from_mapping(read_backends(path), source=str(path), folder=path.parent, backends=backends)

    @classmethod
    def from_mapping(
        cls, data: Any, source: str = "backends", folder: Path | None = None, backends: Given | None = None
    ) -> "BackendRegistry":
        """Take the content of a backends file.

        Args:
            data: The content, as YAML gives it.
            source: What errors call it.
            folder: Where relative paths in it start; the current folder by default.
            backends: Objects for its entries of type ``object``, as :func:`~qiskit_fedqml.run_federation` takes them.

        Raises:
            ConfigurationError: It says something unknown or inconsistent, or has no such entry.
        """
        file = validate(BackendsFile, data, source)
        places = [name for name, entry in file.backends.items() if isinstance(entry, ObjectEntry)]
        for name in backends or {}:
            if name not in places:
                near = nearest(name, places)
                raise ConfigurationError(f"Argument `backends`: no entry of type object is {shown(name)}{near}")
        return cls(file, folder or Path(), objects=backends)

    def __getitem__(self, name: str) -> Backend:
        """Return a backend, which is opened at its first use.

        Raises:
            BackendError: It cannot be opened, or there is none of this name (as KeyError too, for ``in`` and ``get``).
        """
        if name not in self.file.backends:
            raise UnknownBackendError(f"There is no backend {shown(name)}{nearest(name, self.file.backends)}")
        if name not in self._opened:
            self._opened[name] = self._open(name)
        return self._opened[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.file.backends)

    def __len__(self) -> int:
        return len(self.file.backends)

    def __repr__(self) -> str:
        return backends_in_words(self.file)

    def _repr_html_(self) -> str:
        return backends_as_html(self.file)

    @property
    def server(self) -> Backend:
        """The backend on which the server evaluates the aggregate: exactly, also where its entry has shots."""
        backend = self[self.file.assignment.server]
        return backend.without_shots() if isinstance(backend, AerBackend) else backend

    def name_for_client(self, client_id: int) -> str:
        """Return the name of a client's backend; client ids start at 0."""
        if client_id < 0:
            raise ConfigurationError(f"Argument `client_id` must be at least 0, but got {client_id}.")
        named = (name for key, name in self.file.assignment.clients.items() if client_id in clients_of(key))
        return next(named, None) or self._default_for(client_id)

    def _default_for(self, client_id: int) -> str:
        default = self.file.assignment.default
        if isinstance(default, str):
            return default
        if isinstance(default, Cycle):
            return default.cycle[client_id % len(default.cycle)]
        draw = derive_seed(default.seed, "assignment", client=client_id)
        return default.random[draw % len(default.random)]

    def opened(self) -> list[Backend]:
        """Return the backends that were used so far."""
        return list(self._opened.values())

    def is_queued(self, name: str) -> bool:
        """Return whether a backend's jobs wait in a queue elsewhere; it is not opened for it."""
        return isinstance(self.file.backends[name], DeviceEntry)

    def trains(self, name: str) -> bool:
        """Return whether clients with this backend train, and not only test."""
        entry = self.file.backends[name]
        return not isinstance(entry, DeviceEntry) or entry.task == "train"

    def give_blocks(self, assignment: Sequence[str], *, simulated_only: bool = False) -> None:
        """Let the clients of each machine that is cut into blocks have theirs.

        Args:
            assignment: The name of each client's backend, as :meth:`assign` gives it.
            simulated_only: Whether devices are left alone.

        Raises:
            BackendError: A machine cannot be opened.
        """
        for name in sorted({*assignment}):
            entry = self.file.backends[name]
            if (entry.blocks is None and not isinstance(entry, OwnEntry)) or (simulated_only and self.is_queued(name)):
                continue
            if isinstance(backend := self[name], PackingBackend):
                backend.give_blocks_to([client for client, of in enumerate(assignment) if of == name])

    def for_client(self, client_id: int) -> Backend:
        """Return a client's backend; client ids start at 0."""
        return self[self.name_for_client(client_id)]

    def assign(self, num_clients: int) -> tuple[str, ...]:
        """Return the names of the backends of clients 0 to ``num_clients`` − 1.

        Raises:
            ConfigurationError: The assignment names a client that doesn't exist.
        """
        for key in self.file.assignment.clients:
            if clients_of(key)[-1] >= num_clients:
                raise ConfigurationError(
                    f"assignment.clients.{key} names client {clients_of(key)[-1]}, but there are {num_clients} clients "
                    f"(0 to {num_clients - 1})."
                )
        if num_clients not in self._assigned:
            names = self._defaults(num_clients)
            for key, name in self.file.assignment.clients.items():
                ids = clients_of(key)
                names[ids.start : ids.stop] = [name] * len(ids)
            self._assigned = {num_clients: tuple(names)}  # asked for again and again, of up to a million clients
        return self._assigned[num_clients]

    def _defaults(self, num_clients: int) -> list[str]:
        default = self.file.assignment.default
        if isinstance(default, str):
            return [default] * num_clients
        if isinstance(default, Cycle):
            return list(islice(cycle(default.cycle), num_clients))
        return [self._default_for(client) for client in range(num_clients)]

    def _open(self, name: str) -> Backend:
        entry = self.file.backends[name]
        try:
            if isinstance(entry, PythonEntry):
                reference = PythonReference(python=entry.python, arguments=entry.arguments)
                return backend_of(name, made_by(reference, name), entry.shots)
            if isinstance(entry, ObjectEntry) and name in self._objects:
                return backend_of(name, unwrapped(name, self._objects[name]), entry.shots)
            if isinstance(entry, ObjectEntry):
                what = f" of {entry.class_}" if entry.class_ else ""
                raise BackendError(
                    f"it is an object{what} that no file can hold; give it from Python, as `backends={{{name!r}: …}}` "
                    "to run_federation, resume_federation, extend_federation or load_model, or use another backend."
                )
            if not isinstance(entry, AerEntry):
                return DeviceBackend(name, entry, self._machine(name, entry), self.dispatcher)
            noise = self._noise(entry)
        except BackendError as error:
            text = str(error)
            kind = NoBackendError if isinstance(error, NoBackendError) else BackendError
            raise kind(text if text.startswith(f"Backend {name!r}") else f"Backend {name!r}: {text}") from error
        level, seed = entry.optimization_level, entry.transpiler_seed
        options = (level, seed, entry.simulator, entry.mitigation, entry.blocks, entry.test_shots)
        return AerBackend(name, noise, entry.shots, *options)

    def _machine(self, name: str, entry: IBMEntry | ProviderEntry) -> Machine:
        journal = self.dispatcher.journal
        if isinstance(entry, IBMEntry):
            from qiskit_fedqml.backends.ibm import open_machine

            return open_machine(name, entry, journal)
        from qiskit_fedqml.backends.providers.opening import open_provider

        return open_provider(name, entry, journal, needs_seconds=self.file.budget_seconds is not None)

    def _noise(self, entry: AerEntry) -> Noise | None:
        noise = entry.noise
        if noise is None:
            return None
        if isinstance(noise, str):
            return _of_fake_device(noise, entry.noise_factor)
        if isinstance(noise, CalibrationFile):
            path = self.folder / noise.calibration
            return _of_file(path, _digest(path), entry.noise_factor)
        return _stated(noise, entry.noise_factor)


def find_calibration(name: str, registry: BackendRegistry | None) -> Calibration:
    """Return the calibration of a fake device, or of a registry's backend that has one.

    Args:
        name: A backend of the registry (a device of IBM Quantum is asked for its own), or a fake device such as
            ``"FakeManilaV2"``.
        registry: Where backends are looked up first; None for fake devices only.

    Raises:
        BackendError: Neither is there, or the backend has no calibration.
    """
    entry = registry.file.backends.get(name) if registry else None
    if registry is None or entry is None:
        return fake_calibration(name)
    if isinstance(backend := registry[name] if isinstance(entry, IBMEntry) else None, DeviceBackend):
        calibration = backend.machine.calibration()
        assert calibration is not None
        return calibration
    noise = entry.noise if isinstance(entry, AerEntry) else None
    if isinstance(noise, str):
        return fake_calibration(noise)
    if isinstance(noise, CalibrationFile):
        return load_calibration(registry.folder / noise.calibration)
    raise BackendError(f"Backend {name!r} has no calibration to save.")


class UnknownBackendError(BackendError, KeyError):
    """There is no backend of this name."""

    def __str__(self) -> str:
        return str(self.args[0])


# A machine's noise is worked out once in a process, however many runs use it.
_kept = lru_cache(maxsize=64)


@_kept
def _of_fake_device(name: str, factor: float) -> Noise:
    return noise_from_calibration(fake_calibration(name), name, factor)


@_kept
def _of_file(path: Path, digest: str, factor: float) -> Noise:
    """Return the noise of a saved calibration; a changed file has another ``digest``."""
    calibration = load_calibration(path)
    return noise_from_calibration(calibration, calibration.device, factor)


def _digest(path: Path) -> str:
    with reading(path, BackendError) as file:
        return file_digest(file, "sha256").hexdigest()


@_kept
def _stated(noise: StatedNoise, factor: float) -> Noise:
    return noise_from_rates(
        (noise.depolarizing.one_qubit, noise.depolarizing.two_qubit),
        (noise.amplitude_damping.one_qubit, noise.amplitude_damping.two_qubit),
        (noise.readout.read_1_if_0, noise.readout.read_0_if_1),
        factor,
    )
