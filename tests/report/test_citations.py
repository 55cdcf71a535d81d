import re
import sys

import pytest

from qiskit_fedqml import cli, load_experiment, run_federation
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.report.citations import TABLE, bibtex, citations, read_entries
from tests.conftest import ROOT

SYSTEM = {"chen2021federated", "mcmahan2017fedavg", "paszke2019pytorch", "kingma2015adam"}
SHIFTS = {"mitarai2018quantum", "schuld2019evaluating"}
SWEEPS = {"jones2020efficient"}
CIRCUIT = SHIFTS | SWEEPS | {"javadiabhari2024qiskit", "sahin2025qiskitml"}
DIGITS = {"alpaydin1998digits", "pedregosa2011sklearn"}
VGG = {"simonyan2015vgg", "torchvision2016", "russakovsky2015imagenet", "srivastava2014dropout"}


def cited(experiment: Experiment) -> set[str]:
    return set(citations([experiment]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits", SYSTEM | CIRCUIT | DIGITS),
        ("rehearsal", SYSTEM | CIRCUIT | DIGITS),
        ("planes_vs_cars", SYSTEM | CIRCUIT | VGG),
        ("cats_vs_dogs", SYSTEM | CIRCUIT | VGG),
    ],
)
def test_what_the_shipped_experiments_cite(name, expected):
    assert cited(load_experiment(ROOT / "experiments" / f"{name}.yaml")) == expected


TWO = {
    "backends": {"ideal": {"type": "aer"}, "noisy": {"type": "aer", "noise": {"readout": 0.1}}},
    "assignment": {"default": {"cycle": ["ideal", "noisy"]}},
}
QUEUE = {"queue": {"lognormal": {"median_seconds": 60, "sigma": 1}}}
EXPLORE = {"explore_then_refine": {"refine_from": 2}}
SPSA = {"type": "ibm", "device": "FakeManilaV2", "gradient": {"spsa": {}}}
MIXED = {"backends": {"ideal": {"type": "aer"}, "device": SPSA}, "assignment": {"clients": {"0": "device"}}}
TREX, ZNE = {"vandenberg2022trex"}, {"temme2017error", "giurgicatiron2020digital"}


def mitigating(server):
    mitigation = {"readout": True, "zne": {}}
    simulated = {"type": "aer", "noise": "FakeManilaV2", "mitigation": mitigation}
    device = {"type": "ibm", "device": "FakeManilaV2", "mitigation": mitigation}
    backends = {"ideal": {"type": "aer"}, "server": simulated, "idle": device}
    return {"backends": backends, "assignment": {"server": server if server == "server" else "ideal"}}


@pytest.mark.parametrize(
    ("changes", "more", "fewer"),
    [
        ({"federation__optimizer": "rmsprop"}, {"tieleman2012rmsprop"}, {"kingma2015adam"}),
        ({"federation__optimizer": "sgd"}, set(), {"kingma2015adam"}),
        ({"model__dropout": 0.0}, set(), {"srivastava2014dropout"}),
        ({"model__quantum": "classical"}, set(), CIRCUIT),
        ({"model__quantum": "frozen"}, set(), set()),
        ({"federation__clients": 1, "federation__clients_per_round": 1}, set(), {"mcmahan2017fedavg"}),
        ({"data__partition": {"scheme": "dirichlet", "alpha": 1.0}}, {"yurochkin2019bayesian", "li2022noniid"}, set()),
        ({"data__partition": {"scheme": "quantity_skew", "alpha": 1.0}}, {"li2022noniid"}, set()),
        ({"federation__proximal_mu": 0.1}, {"li2020fedprox"}, set()),
        ({"aggregation__angles": "circular"}, {"fedcompass2026"}, set()),
        ({"aggregation__success_exponent": 1.0, "backends": TWO}, {"qrail2026"}, set()),
        ({"aggregation__server_optimizer": {"method": "fedavgm"}}, {"hsu2019fedavgm"}, set()),
        ({"aggregation__server_optimizer": {"method": "fedadam"}}, {"reddi2021fedopt"}, set()),
        ({"federation__algorithm": {"buffered": {"buffer": 2}}, "scheduling": QUEUE}, {"nguyen2022fedbuff"}, set()),
        (
            {"federation__clients_per_round": 4, "federation__algorithm": {"gossip": {"graph": "ring"}}},
            {"lian2017dpsgd", "xiao2005metropolis"},
            {"mcmahan2017fedavg"},
        ),
        ({"scheduling": QUEUE | {"policy": {"best": {}}}, "backends": TWO}, {"stein2022eqc"}, set()),
        ({"scheduling": QUEUE | {"policy": EXPLORE}, "backends": TWO}, {"wang2024qoncord"}, set()),
        ({"model__circuit": {"ansatz": "reuploading"}}, {"perezsalinas2020reuploading"}, set()),
        ({"model__circuit": {"ansatz": "qcnn"}}, {"cong2019qcnn"}, set()),
        ({"model__circuit": {"ansatz": "tree"}}, {"grant2018hierarchical"}, set()),
        ({"data": {"dataset": "cifar10"}}, {"krizhevsky2009learning"}, DIGITS),
        ({"backends": MIXED}, {"spall1992multivariate"}, set()),
        ({"backends": MIXED | {"assignment": {"default": "device"}}}, {"spall1992multivariate"}, SHIFTS | SWEEPS),
        ({"backends": mitigating("idle")}, set(), set()),
        ({"backends": mitigating("idle"), "evaluation__backends": ["idle"]}, TREX | ZNE, set()),
        ({"backends": mitigating("server")}, ZNE, set()),
        ({"backends": {"backends": {"ideal": {"type": "aer", "simulator": "aer"}}}}, set(), SWEEPS),
        ({"backends": {"backends": {"ideal": {"type": "aer", "simulator": "sweep"}}}}, set(), set()),
        (
            {"backends": {**MIXED, "backends": {**MIXED["backends"], "device": {**SPSA, "task": "evaluate"}}}},
            set(),
            set(),
        ),
    ],
)
def test_an_option_brings_its_citation(tiny, changes, more, fewer):
    assert cited(tiny(**changes)) == (cited(tiny()) | more) - fewer


@pytest.mark.parametrize(
    ("backbone", "expected"),
    [
        ("alexnet", {"krizhevsky2012imagenet", "krizhevsky2014one"}),
        ("resnet18", {"he2016resnet"}),
        ("resnext50_32x4d", {"xie2017resnext"}),
        ("wide_resnet50_2", {"zagoruyko2016wide"}),
        ("efficientnet_v2_s", {"tan2021efficientnetv2"}),
        ("efficientnet_b0", {"tan2019efficientnet"}),
        ("swin_t", set()),
    ],
)
def test_backbones_by_prefix(tiny, backbone, expected):
    features = {"backbone": backbone, "layer": "x", "weights": "torchvision", "image_size": 8, "pooling": "flatten"}
    common = {"torchvision2016", "russakovsky2015imagenet"}
    assert cited(tiny(features=features)) - cited(tiny()) == expected | common
    why = citations([tiny(features={**features, "weights": "mine.pth"})])["russakovsky2015imagenet"]
    assert why == ["the backbone's weights, if trained on ImageNet"]


def test_label_shards_are_a_second_reason_for_the_same_paper(tiny):
    shards = tiny(data__partition={"scheme": "label_shards", "shards_per_client": 2})
    assert citations([shards])["mcmahan2017fedavg"] == ["federated averaging", "label skew by shards"]
    assert "% federated averaging; label skew by shards\n@inproceedings{mcmahan2017fedavg," in bibtex([shards])


def test_every_entry_is_whole():
    text = (ROOT / "qiskit_fedqml" / "report" / "citations.bib").read_text(encoding="utf-8")
    entries = read_entries()
    assert len(entries) == text.count("\n@") == len(re.findall(r"^\}$", text, re.M))
    assert {citation.key for citation in TABLE} <= set(entries)
    for key, entry in entries.items():
        fields = dict(re.findall(r"^  (\w+) += \{(.*)\},?$", entry, re.M))
        assert len(fields) == len(entry.splitlines()) - 2, key
        assert {"author", "title", "year"} <= set(fields), key
        assert {"journal", "booktitle", "institution", "howpublished", "eprint"} & set(fields), key
        assert ("eprint" in fields) == ("archiveprefix" in fields), key
        assert fields["year"] in key, key
        for field in fields.values():
            assert balanced(field), (key, field)


def balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def test_files_and_folders_together_each_entry_once(tiny, tmp_path, monkeypatch, capsys):
    run_federation(tiny(federation__rounds=1, federation__optimizer="rmsprop"), tmp_path / "run")
    file = ROOT / "experiments" / "digits.yaml"
    monkeypatch.setattr(sys, "argv", ["fedqml", "citation", str(file), str(tmp_path / "run")])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    out = capsys.readouterr().out
    keys = re.findall(r"^@\w+\{(\S+),$", out, re.M)
    assert len(keys) == len(set(keys))
    assert set(keys) == SYSTEM | CIRCUIT | DIGITS | {"tieleman2012rmsprop", "srivastava2014dropout"}
    assert len(re.findall(r"^% .+\n@", out, re.M)) == len(keys)


@pytest.mark.parametrize("option", [("--set", "federation.optimizer=sgd"), ("--backends", "backends.yaml")])
def test_options_are_not_ignored_where_only_folders_are_given(tiny, tmp_path, monkeypatch, capsys, option):
    run_federation(tiny(federation__rounds=1), tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["fedqml", "citation", str(tmp_path / "run"), *option])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert "--backends and --set are for experiment files" in capsys.readouterr().err
