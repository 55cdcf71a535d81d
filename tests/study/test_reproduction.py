import dataclasses
import re

import pytest

from qiskit_fedqml import load_experiment
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.paper import REPORTED, choices, departures, reported_for
from qiskit_fedqml.study.probe import LinearProbe
from qiskit_fedqml.study.reproduction import CONTROLS, NON_FEDERATED, SCHEMES, Reproduction
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table
from tests.conftest import ROOT

PROBE = LinearProbe(0.9, 0.3, 1.0, 100, 1.0, None)


def run_of(name, overrides=None, **run):
    experiment = load_experiment(ROOT / "experiments" / f"{name}.yaml", overrides)
    return RunResult(experiment, {"num_features": 25088, **run}, ())


def test_the_papers_own_configuration_departs_in_nothing():
    run = run_of("cats_vs_dogs", examples={"train": 23_000, "test": 2_000})
    assert departures(run, reported_for("cats_vs_dogs")) == []


def test_departures_are_read_from_the_configuration():
    run = run_of("cats_vs_dogs_squeezenet", num_features=512, examples={"train": 5_000, "test": 1_000})
    found = "\n".join(departures(run, reported_for("cats_vs_dogs_squeezenet")))
    assert "squeezenet1_1 takes the place of VGG16" in found
    assert "512 features of an image of 224×224" in found
    assert "5,000 training images; the paper has 23,000" in found
    assert "Hidden widths 256; Table I has 4096–4096" in found
    overrides = {"federation.clients": 10, "data.partition": {"scheme": "dirichlet", "alpha": 0.1}}
    found = "\n".join(departures(run_of("planes_vs_cars", overrides), REPORTED["planes_vs_cars"]))
    assert "clients: 10; the paper has 100" in found
    assert "dirichlet" in found
    assert "adam with learning rate 0.0001, times 0.98" in choices(run.experiment)[0].replace("0.003", "0.0001")
    with pytest.raises(ConfigurationError, match="'digits' must begin with a dataset of the paper"):
        reported_for("digits")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"features.pooling": "average"}, "512 features"),
        ({"features.image_size": 32}, "an image of 32×32"),
        ({"backends": {"backends": {"ideal": {"type": "aer", "shots": 64}}}}, "Clients train on ideal"),
        ({"aggregation.server_optimizer": {"method": "fedadam"}}, "Aggregation"),
        ({"federation.proximal_mu": 1.0}, "FedProx with μ = 1"),
        ({"model.circuit.num_qubits": 5}, "Circuit"),
    ],
)
def test_each_departure_is_told(overrides, words):
    num_features = 512 if "features.pooling" in overrides else 25088
    found = departures(run_of("cats_vs_dogs", overrides, num_features=num_features), REPORTED["cats_vs_dogs"])
    assert len(found) == 1
    assert words in found[0]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    tiny = load_experiment(
        ROOT / "experiments" / "digits.yaml",
        {"federation.rounds": 2, "federation.clients": 10, "data.test_fraction": 0.7, "model.hidden": [4]},
    )

    def changed(changes, seed):
        data = tiny.resolved()
        for key, value in {**changes, "seed": seed}.items():
            section, _, name = key.rpartition(".")
            (data[section] if section else data)[name] = value
        return type(tiny).model_validate(data)

    trials = [
        Trial(scheme, changed(changes, seed)) for seed in (1, 2) for scheme, changes in (SCHEMES | CONTROLS).items()
    ]
    return run_trials(trials, tmp_path_factory.mktemp("study"))


def test_table_has_the_papers_rows_its_figures_and_the_controls(study):
    rows = {row["Scheme"]: row for row in Reproduction(study, REPORTED["planes_vs_cars"], PROBE).rows()}
    assert list(rows) == [*SCHEMES, *CONTROLS, "Linear probe"]
    assert rows["Federated, E = 2"]["Paper (%)"] == "94.05"
    assert rows[NON_FEDERATED]["Paper (%)"] == "93.65"
    one, two, four = (int(rows[f"Federated, E = {e}"]["Examples a round"].replace(",", "")) for e in (1, 2, 4))
    assert (two, four) == (2 * one, 4 * one)
    trained = {name: int(row["Trained parameters"]) for name, row in rows.items() if row["Trained parameters"] != "–"}
    frozen, classical = (trained[name] for name in CONTROLS)
    assert trained["Federated, E = 1"] == classical == frozen + 24


def with_accuracy(study, accuracies):
    """Return a study of three seeds whose runs have these accuracies, by scheme and seed."""
    third = {(scheme, 3): run for (scheme, seed), run in study.runs.items() if seed == 2}
    runs = {
        (scheme, seed): dataclasses.replace(
            run,
            rounds=tuple(
                dataclasses.replace(r, test_accuracy=accuracies.get(scheme, {}).get(seed, 0.9)) for r in run.rounds
            ),
        )
        for (scheme, seed), run in {**study.runs, **third}.items()
    }
    return Study(runs)


def test_text_says_plainly_whether_the_circuit_contributes(study):
    first, (frozen, classical) = "Federated, E = 1", CONTROLS
    trained = {1: 0.95, 2: 0.951, 3: 0.952}
    frozen_too = {seed: value - 0.05 for seed, value in trained.items()}
    better = with_accuracy(study, {first: trained, frozen: frozen_too, classical: {1: 1.0, 2: 0.9, 3: 0.952}})
    text = Reproduction(better, REPORTED["planes_vs_cars"], PROBE).text(markdown_table)
    assert "Trained circuit less quantum layer frozen: +5.00 ± 0.00 points: higher." in text
    assert re.search(r"Trained circuit less classical layer: \+0.03 ± 12\.\d\d points: no significant difference", text)
    assert "Departs from the paper" in text
    assert re.search(r"Federated, E = 2: \d+ examples a round \(paper: 1,000\)", text)
    assert re.search(r"Non-federated: \d+ examples an epoch \(paper: 10,000\)", text)
    assert "Ready features take the place of the pretrained VGG16." in text
    one_seed, two_seeds = (Study({key: run for key, run in better.runs.items() if key[1] <= n}) for n in (1, 2))
    assert "Not seen here" in text
    better = with_accuracy(study, {first: trained})
    assert "Yes: " in Reproduction(better, REPORTED["planes_vs_cars"], PROBE).contribution()
    assert (
        "One seed cannot show a difference" in Reproduction(one_seed, REPORTED["planes_vs_cars"], PROBE).contribution()
    )
    assert "one seed: no interval" in Reproduction(one_seed, REPORTED["planes_vs_cars"], PROBE).contribution()
    text = Reproduction(two_seeds, REPORTED["planes_vs_cars"], PROBE).text(markdown_table)
    assert "+5.00 (+5.00 to +5.00) points (range of 2 seeds: no interval, so no conclusion)" in text
    assert "Two seeds cannot show a difference." in text
    assert "±" not in text.partition("A test set of")[0], "no interval by Student's t of two seeds"


def test_what_was_not_run_is_said(study):
    alone = Study({key: run for key, run in study.runs.items() if key[0] == NON_FEDERATED})
    text = Reproduction(alone, REPORTED["planes_vs_cars"], PROBE).text(markdown_table)
    assert "## Federated less non-federated\n\nNot run.\n" in text
    assert "## Does the quantum layer contribute?\n\nNot run.\n" in text


def test_linear_probe_is_kept(tmp_path):
    experiment = load_experiment(ROOT / "experiments" / "digits.yaml", {"data.classes": [0, 1]})
    probe = LinearProbe.of(experiment, tmp_path / "probe.json")
    assert probe.accuracy > 0.98
    assert probe.loss < 0.1
    assert LinearProbe.of(experiment, tmp_path / "probe.json") == probe
    several = LinearProbe.of(load_experiment(ROOT / "experiments" / "digits.yaml"))
    assert several.accuracy > 0.95
