"""Whether a run can be private: what else would leave a client, or make one count in another way than was counted."""

from typing import TYPE_CHECKING

from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.data import ClientSumsScaling
from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.gossip import Gossip
from qiskit_fedqml.config.own_data import TableData
from qiskit_fedqml.config.rules import WEIGHTLESS
from qiskit_fedqml.errors import listed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qiskit_fedqml.config.experiment import Experiment
    from qiskit_fedqml.config.privacy import ClientPrivacy, PrivacyConfig


def check_privacy(experiment: "Experiment", privacy: "PrivacyConfig") -> None:
    """Refuse an experiment whose `privacy` section would not hold.

    Args:
        experiment: The experiment.
        privacy: The section.

    Raises:
        ValueError: It would not.
    """
    level = "examples" if privacy.examples is not None else "clients"
    of_level = _of_examples(experiment) if privacy.clients is None else _of_clients(experiment, privacy.clients)
    refused = [*_of_both(experiment, privacy), *of_level]
    for key, is_there, reason in refused:
        if is_there:
            raise ValueError(f"{key} cannot come with privacy.{level}: {reason}")


Refused = tuple[str, bool, str]
"""A key with its value, whether the experiment has it, and why it cannot be."""


def _of_both(experiment: "Experiment", privacy: "PrivacyConfig") -> "Iterable[Refused]":
    federation, aggregation = experiment.federation, experiment.aggregation
    machines = {name: experiment.backends.backends[name] for name in sorted(experiment.backends.assignment.machines)}
    only_test = [name for name, entry in machines.items() if isinstance(entry, DeviceEntry) and entry.task != "train"]
    is_buffered = isinstance(federation.algorithm, Buffered)
    yield (
        "features.scaling.method: client_sums",
        isinstance(experiment.features.scaling, ClientSumsScaling),
        "sums of a client's features would leave it without noise; method: constant divides by a stated number",
    )
    yield (
        "aggregation.weights: examples",
        not aggregation.is_uniform and federation.clients_per_round > 1 and not _takes_no_weights(experiment),
        "numbers of examples would leave the clients; weights must be uniform",
    )
    yield (
        "federation.on_too_few: repeat",
        federation.on_too_few == "repeat",
        "a round that is begun again releases updates that count once more",
    )
    yield (
        "a backend whose clients only test",
        bool(only_test),
        f"the accuracy on a client's examples would leave it, as on {listed(only_test)}",
    )
    yield (
        "data.missing: mean",
        isinstance(experiment.data, TableData) and experiment.data.missing == "mean",
        "means of the training data would be in the model without noise",
    )
    yield (
        "federation.algorithm: buffered on devices",
        is_buffered and experiment.scheduling is None,
        "tasks that are on their way are not counted",
    )
    yield (
        f"checkpoints.every: {experiment.checkpoints.every}",
        experiment.checkpoints.every != 1 and privacy.randomness == "system",
        "a server step that is replayed releases other noise, so every one must be kept (every: 1)",
    )


def _takes_no_weights(experiment: "Experiment") -> bool:
    rule, algorithm = experiment.aggregation.rule, experiment.federation.algorithm
    return rule == "coordinate_median" or isinstance(rule, WEIGHTLESS) or isinstance(algorithm, Gossip)


def _of_examples(experiment: "Experiment") -> "Iterable[Refused]":
    federation = experiment.federation
    machines = {name: experiment.backends.backends[name] for name in sorted(experiment.backends.assignment.machines)}
    shared = [name for name, entry in machines.items() if isinstance(entry, DeviceEntry) and entry.blocks is not None]
    yield (
        "a client_step of your own",
        isinstance(federation.client_step, PythonReference),
        "it would take the place of DP-SGD",
    )
    yield (
        "a loss of your own",
        isinstance(experiment.model.loss, PythonReference),
        "it might mix examples, of which each must have a gradient of its own",
    )
    yield (
        f"federation.lockstep: {federation.lockstep}",
        federation.lockstep not in (1, "auto"),
        "each client takes gradients of single examples, so they do not train together",
    )
    yield (
        "blocks of a device",
        bool(shared),
        f"which block an example gets, and so its gradient, depends on the others of its batch, as on {listed(shared)}",
    )


def _of_clients(experiment: "Experiment", options: "ClientPrivacy") -> "Iterable[Refused]":
    federation, aggregation = experiment.federation, experiment.aggregation
    machines = {name: experiment.backends.backends[name] for name in sorted(experiment.backends.assignment.machines)}
    devices = [name for name, entry in machines.items() if isinstance(entry, DeviceEntry)]
    yield (
        f"aggregation.rule: {aggregation.rule_name}",
        aggregation.rule != "fedavg",
        "only the noise on a sum is accounted for (rule: fedavg)",
    )
    for key, is_there in (
        ("aggregation.success_exponent", aggregation.success_exponent > 0),
        ("aggregation.norm_bound", aggregation.norm_bound is not None),
        ("aggregation.norm_ratio", aggregation.norm_ratio is not None),
        ("aggregation.angles: circular", aggregation.angles == "circular"),
    ):
        yield key, is_there, "each client's update must count the same, whatever the others send"
    yield (
        "federation.min_clients",
        federation.min_clients > 0,
        "whether a round counts may not depend on who took part",
    )
    yield (
        "federation.algorithm",
        federation.algorithm != "synchronous",
        "only the synchronous one draws clients as the accountant expects",
    )
    yield (
        "federation.on_client_failure: stop",
        federation.on_client_failure == "stop",
        "whether the run goes on may not depend on one client (on_client_failure: skip)",
    )
    yield (
        "federation.client_seconds",
        federation.client_seconds is not None,
        "whether a client ends in time may depend on the others, which take processor time too",
    )
    yield (
        f"federation.lockstep: {federation.lockstep}",
        federation.lockstep not in (1, "auto"),
        "the last bits of clients that train together depend on each other, so each trains alone",
    )
    yield (
        "a client's device",
        bool(devices),
        f"what a round costs, and whether that can be paid, would depend on who takes part, as on {listed(devices)}",
    )
    yield (
        "scheduling",
        experiment.scheduling is not None,
        "the simulated clock waits for those who take part",
    )
    yield (
        "aggregation.secure",
        aggregation.secure is not None,
        "the server shortens each update, which it must see for that",
    )
    yield (
        "ledger",
        experiment.ledger is not False,
        "it would hold each client's update without noise, and nobody could repeat the noise",
    )
    if options.adaptive is not None:
        least, count_noise = options.noise_multiplier / 2, options.adaptive.noise_on_count(federation.clients_per_round)
        yield (
            f"adaptive.count_noise: {count_noise:g}",
            count_noise <= least,
            f"it must be above half of noise_multiplier ({least:g}), since the number of short updates is released too",
        )
