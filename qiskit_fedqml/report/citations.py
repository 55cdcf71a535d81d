"""Citations: the BibTeX of the methods, data and software that an experiment uses, each with what it is cited for."""

import re
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.config.backends import AerEntry, BackendEntry
from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.gossip import Gossip
from qiskit_fedqml.config.gradient import Spsa
from qiskit_fedqml.config.scheduling import Best, ExploreThenRefine


class Citation(NamedTuple):
    """A row of the table.

    Args:
        applies: Whether an experiment uses the method.
        key: Of the entry in ``citations.bib``.
        why: What it is cited for.
    """

    applies: Callable[[Experiment], bool]
    key: str
    why: str


def _always(_: Experiment) -> bool:
    return True


def _is_federated(experiment: Experiment) -> bool:
    return experiment.federation.clients > 1


def _averages_at_a_server(experiment: Experiment) -> bool:
    return _is_federated(experiment) and not _has_nodes(experiment)


def _has_nodes(experiment: Experiment) -> bool:
    return isinstance(experiment.federation.algorithm, Gossip)


def _has_circuit(experiment: Experiment) -> bool:
    return experiment.model.has_circuit


def _has_backbone(experiment: Experiment) -> bool:
    return experiment.features.backbone is not None


def _has_torchvisions_weights(experiment: Experiment) -> bool:
    return experiment.features.weights == "torchvision"


def _has_weights_of_a_file(experiment: Experiment) -> bool:
    return _has_backbone(experiment) and not _has_torchvisions_weights(experiment)


def _has_dropout(experiment: Experiment) -> bool:
    return experiment.model.dropout > 0


def _backbone(prefix: str) -> Callable[[Experiment], bool]:
    return lambda experiment: (experiment.features.backbone or "").startswith(prefix)


def _dataset(name: str) -> Callable[[Experiment], bool]:
    return lambda experiment: experiment.data.dataset == name


def _optimizer(name: str) -> Callable[[Experiment], bool]:
    return lambda experiment: experiment.federation.optimizer == name


def _ansatz(name: str) -> Callable[[Experiment], bool]:
    return lambda experiment: _has_circuit(experiment) and getattr(experiment.model.circuit, "ansatz", "") == name


def _has_proximal_term(experiment: Experiment) -> bool:
    return experiment.federation.proximal_mu > 0


def _weighs_by_noise(experiment: Experiment) -> bool:
    return experiment.aggregation.success_exponent > 0


def _averages_directions(experiment: Experiment) -> bool:
    return experiment.aggregation.angles == "circular"


def _server_optimizer(method: str) -> Callable[[Experiment], bool]:
    return lambda experiment: getattr(experiment.aggregation.server_optimizer, "method", None) == method


def _rule(*names: str) -> Callable[[Experiment], bool]:
    return lambda experiment: experiment.aggregation.rule_name in names


def _bounds_norms(experiment: Experiment) -> bool:
    return experiment.aggregation.norm_bound is not None


def _is_private(experiment: Experiment) -> bool:
    return experiment.privacy is not None


def _protects_examples(experiment: Experiment) -> bool:
    return experiment.privacy is not None and experiment.privacy.examples is not None


def _protects_clients(experiment: Experiment) -> bool:
    return experiment.privacy is not None and experiment.privacy.protects_clients


def _adapts_the_norm(experiment: Experiment) -> bool:
    clients = None if experiment.privacy is None else experiment.privacy.clients
    return clients is not None and clients.adaptive is not None


def _is_buffered(experiment: Experiment) -> bool:
    return isinstance(experiment.federation.algorithm, Buffered)


def _schedules_by(policy: type) -> Callable[[Experiment], bool]:
    return lambda experiment: experiment.scheduling is not None and isinstance(experiment.scheduling.policy, policy)


def _partition(scheme: str) -> Callable[[Experiment], bool]:
    return lambda experiment: _is_federated(experiment) and getattr(experiment.data.partition, "scheme", "") == scheme


def _training_entries(experiment: Experiment) -> list[BackendEntry]:
    """Return the entries of the backends whose clients train."""
    registry = BackendRegistry(experiment.backends, Path())
    names = {name for name in registry.assign(experiment.federation.clients) if registry.trains(name)}
    return [experiment.backends.backends[name] for name in names]


def _trains_by_sweeps(experiment: Experiment) -> bool:
    entries = _training_entries(experiment)
    return _has_circuit(experiment) and any(isinstance(e, AerEntry) and e.simulator != "aer" for e in entries)


def _tested_entries(experiment: Experiment) -> list[BackendEntry]:
    """Return the entries of the backends on which the server tests, or clients that train nothing."""
    registry = BackendRegistry(experiment.backends, Path())
    clients = {name for name in registry.assign(experiment.federation.clients) if not registry.trains(name)}
    names = clients | {experiment.backends.assignment.server, *experiment.evaluation.backends}
    return [experiment.backends.backends[name] for name in names]


def _mitigates_devices_readout(experiment: Experiment) -> bool:
    entries = [*_training_entries(experiment), *_tested_entries(experiment)]
    on_devices = any(isinstance(e, IBMEntry) and e.mitigation and e.mitigation.readout for e in entries)
    return _has_circuit(experiment) and on_devices


def _extrapolates(experiment: Experiment) -> bool:
    mitigating = [e for e in _tested_entries(experiment) if isinstance(e, (AerEntry, IBMEntry))]
    return _has_circuit(experiment) and any(e.mitigation and e.mitigation.zne for e in mitigating)


def _gradient(*, spsa: bool) -> Callable[[Experiment], bool]:
    """Return whether any client that trains takes its circuit's derivatives by SPSA, or by parameter shifts."""

    def applies(experiment: Experiment) -> bool:
        entries = _training_entries(experiment)
        by_spsa = [isinstance(entry, DeviceEntry) and isinstance(entry.gradient, Spsa) for entry in entries]
        return _has_circuit(experiment) and spsa in by_spsa

    return applies


_SWEEPS = "the adjoint method: the simulator's sweeps are similar, and also give shifted values, with noise and shots"

TABLE = (
    Citation(_always, "chen2021federated", "federated quantum machine learning, the system that is run"),
    Citation(_averages_at_a_server, "mcmahan2017fedavg", "federated averaging"),
    Citation(_has_proximal_term, "li2020fedprox", "FedProx, the clients' proximal term"),
    Citation(_weighs_by_noise, "qrail2026", "weights by the machines' calibration"),
    Citation(_averages_directions, "fedcompass2026", "the circular mean of angles"),
    Citation(_server_optimizer("fedavgm"), "hsu2019fedavgm", "FedAvgM, momentum at the server"),
    Citation(_server_optimizer("fedadam"), "reddi2021fedopt", "FedAdam, Adam at the server"),
    Citation(_rule("coordinate_median", "trimmed_mean"), "yin2018byzantine", "the rule, number by number"),
    Citation(_rule("krum", "multi_krum", "bulyan"), "blanchard2017krum", "Krum, the choice of updates"),
    Citation(_rule("bulyan"), "elmhamdi2018bulyan", "Bulyan, means around medians of chosen updates"),
    Citation(_rule("geometric_median"), "pillutla2022rfa", "the geometric median of updates, RFA"),
    Citation(_rule("foolsgold"), "fung2018foolsgold", "FoolsGold, weights against sybils"),
    Citation(_bounds_norms, "sun2019backdoor", "the bound on the norm of updates"),
    Citation(_protects_examples, "abadi2016dpsgd", "DP-SGD, privacy for each example"),
    Citation(_protects_clients, "mcmahan2018dpfedavg", "DP-FedAvg, privacy for each client"),
    Citation(_adapts_the_norm, "andrew2021adaptive", "the norm that follows a quantile of updates"),
    Citation(_is_private, "doroshenko2022pld", "privacy loss distributions, which ε is computed by"),
    Citation(_is_buffered, "nguyen2022fedbuff", "FedBuff, buffered asynchronous aggregation"),
    Citation(_has_nodes, "lian2017dpsgd", "D-PSGD, decentralised training: nodes mix with their neighbours"),
    Citation(_has_nodes, "xiao2005metropolis", "Metropolis weights of neighbours"),
    Citation(_schedules_by(Best), "stein2022eqc", "calibrations that steer an asynchronous array"),
    Citation(_schedules_by(ExploreThenRefine), "wang2024qoncord", "exploring on fast machines, refining on good ones"),
    Citation(_ansatz("reuploading"), "perezsalinas2020reuploading", "the circuit, data re-uploading"),
    Citation(_ansatz("qcnn"), "cong2019qcnn", "the circuit, a quantum convolutional network"),
    Citation(_ansatz("tree"), "grant2018hierarchical", "the circuit, a tree tensor network"),
    Citation(_gradient(spsa=False), "mitarai2018quantum", "the parameter-shift rule"),
    Citation(_gradient(spsa=False), "schuld2019evaluating", "the parameter-shift rule"),
    Citation(_trains_by_sweeps, "jones2020efficient", _SWEEPS),
    Citation(_gradient(spsa=True), "spall1992multivariate", "SPSA, the circuit's gradient on devices"),
    Citation(_mitigates_devices_readout, "vandenberg2022trex", "the mitigation of readout on devices, TREX"),
    Citation(_extrapolates, "temme2017error", "zero-noise extrapolation of tests"),
    Citation(_extrapolates, "giurgicatiron2020digital", "the folding of gates in zero-noise extrapolation"),
    Citation(_optimizer("adam"), "kingma2015adam", "the clients' optimiser, Adam"),
    Citation(_optimizer("rmsprop"), "tieleman2012rmsprop", "the clients' optimiser, RMSprop"),
    Citation(_has_dropout, "srivastava2014dropout", "dropout in the head"),
    Citation(_partition("dirichlet"), "yurochkin2019bayesian", "label skew, each class by a Dirichlet distribution"),
    Citation(_partition("dirichlet"), "li2022noniid", "label skew, each class by a Dirichlet distribution"),
    Citation(_partition("label_shards"), "mcmahan2017fedavg", "label skew by shards"),
    Citation(_partition("quantity_skew"), "li2022noniid", "quantity skew by a Dirichlet distribution"),
    Citation(_dataset("cifar10"), "krizhevsky2009learning", "the data, CIFAR-10"),
    Citation(_dataset("digits"), "alpaydin1998digits", "the data, handwritten digits"),
    Citation(_dataset("digits"), "pedregosa2011sklearn", "the copy of the digits in scikit-learn"),
    Citation(_backbone("alexnet"), "krizhevsky2012imagenet", "the backbone, AlexNet"),
    Citation(_backbone("alexnet"), "krizhevsky2014one", "the backbone, AlexNet as torchvision has it"),
    Citation(_backbone("vgg"), "simonyan2015vgg", "the backbone, VGG"),
    Citation(_backbone("googlenet"), "szegedy2015googlenet", "the backbone, GoogLeNet"),
    Citation(_backbone("inception_v3"), "szegedy2016inception", "the backbone, Inception v3"),
    Citation(_backbone("squeezenet"), "iandola2016squeezenet", "the backbone, SqueezeNet"),
    Citation(_backbone("resnet"), "he2016resnet", "the backbone, ResNet"),
    Citation(_backbone("wide_resnet"), "zagoruyko2016wide", "the backbone, wide ResNet"),
    Citation(_backbone("resnext"), "xie2017resnext", "the backbone, ResNeXt"),
    Citation(_backbone("densenet"), "huang2017densenet", "the backbone, DenseNet"),
    Citation(_backbone("mobilenet_v2"), "sandler2018mobilenetv2", "the backbone, MobileNetV2"),
    Citation(_backbone("mobilenet_v3"), "howard2019mobilenetv3", "the backbone, MobileNetV3"),
    Citation(_backbone("shufflenet_v2"), "ma2018shufflenetv2", "the backbone, ShuffleNet V2"),
    Citation(_backbone("efficientnet_b"), "tan2019efficientnet", "the backbone, EfficientNet"),
    Citation(_backbone("efficientnet_v2"), "tan2021efficientnetv2", "the backbone, EfficientNetV2"),
    Citation(_backbone("vit_"), "dosovitskiy2021vit", "the backbone, vision transformer"),
    Citation(_backbone("convnext"), "liu2022convnext", "the backbone, ConvNeXt"),
    Citation(_has_backbone, "torchvision2016", "the backbone's code"),
    Citation(_has_torchvisions_weights, "russakovsky2015imagenet", "what the backbone's weights were trained on"),
    Citation(_has_weights_of_a_file, "russakovsky2015imagenet", "the backbone's weights, if trained on ImageNet"),
    Citation(_has_circuit, "javadiabhari2024qiskit", "circuits, and the machines that Qiskit Aer simulates"),
    Citation(_has_circuit, "sahin2025qiskitml", "the circuit as a layer of a PyTorch model"),
    Citation(_always, "paszke2019pytorch", "the classical layers and their training"),
)
"""What is cited when. A backbone of another name is cited as torchvision's alone."""


def citations(experiments: Iterable[Experiment]) -> dict[str, list[str]]:
    """Return what experiments cite: for each key of ``citations.bib`` what it is cited for.

    Raises:
        ConfigurationError: An assignment of backends names a client that doesn't exist.
    """
    reasons: dict[str, list[str]] = {}
    for experiment in experiments:
        for citation in TABLE:
            if citation.applies(experiment) and citation.why not in reasons.setdefault(citation.key, []):
                reasons[citation.key].append(citation.why)
    return {citation.key: reasons[citation.key] for citation in TABLE if reasons.get(citation.key)}


def bibtex(experiments: Iterable[Experiment]) -> str:
    """Return the BibTeX of what experiments cite, each entry once, below a comment that says what for."""
    entries = read_entries()
    return "\n".join(f"% {'; '.join(why)}\n{entries[key]}\n" for key, why in citations(experiments).items())


def read_entries() -> dict[str, str]:
    """Return all entries of ``citations.bib`` by key."""
    text = files(__package__).joinpath("citations.bib").read_text(encoding="utf-8")
    return {found["key"]: found[0] for found in re.finditer(r"^@\w+\{(?P<key>[^,\s]+),$.*?^\}$", text, re.M | re.S)}
