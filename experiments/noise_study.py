"""The noise study: what noise costs in federated training, by machine, array, shots, and strength of the noise.

Run by `experiments/noisy_vs_noiseless.py --study`, which explains the options.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from noise_design import FULL, Design, array
from noise_figures import client_figure, gap_figure, gradient_figure
from noise_results import about, client_rows, table

from qiskit_fedqml import BackendRegistry, RunResult, load_experiment, load_model, run_federation
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.config.backends import AerEntry, BackendsFile
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.data.preparation import prepare_data
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.seeds import derive_seed, numpy_generator
from qiskit_fedqml.study.gradients import GradientQuality, gradient_quality
from qiskit_fedqml.study.outcomes import settled_accuracy
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import duration, markdown_table

_MINIBATCH = 32
"""Examples on which gradients are compared."""

_GRADIENT_SHOTS = (128, 1024, 8192)
_DRAWS = 50
"""Gradients drawn on each machine with each number of shots."""


def run_study(
    path: Path, overrides: Mapping[str, Any], out: Path, *, seeds: int, processes: int, design: Design = FULL
) -> None:
    """Run the study on one experiment file, and write its tables and figures.

    Args:
        path: The experiment file.
        overrides: Changes to it, by dotted key.
        out: Where results go.
        seeds: How many seeds. All schemes of a seed share data, shards, clients drawn and initial weights.
        processes: How many runs at a time.
        design: What is compared.

    Raises:
        ConfigurationError: The experiment has no quantum layer.
        FedQMLError: As :func:`~qiskit_fedqml.study.trials.run_trials`.
    """
    base = load_experiment(path, overrides)
    if base.model.quantum == "classical":
        raise ConfigurationError("The noise study needs a quantum layer, but `model.quantum` is 'classical'.")
    trials = [
        Trial(scheme, load_experiment(path, {**overrides, "backends": backends, "seed": base.seed + k}))
        for k in range(seeds)
        for scheme, backends in design.schemes().items()
    ]
    study = run_trials(trials, out / "runs", processes=processes, tell=_tell)
    write_study(study, out)
    rows = table(study)
    write_csv(rows, out / "table.csv")
    clients = client_rows(study)
    write_csv(clients, out / "clients.csv")
    qualities = gradient_study(base, design, out / "gradients.jsonl")
    title = path.stem.replace("_", " ").capitalize()
    save_figure(gap_figure(study, design, title), out / "gaps")
    save_figure(client_figure(clients, title), out / "clients")
    save_figure(gradient_figure(qualities, title), out / "gradients")
    text = markdown_table(rows) + about(design, seeds)
    write_text(out / "results.md", text)
    print(text)


def gradient_study(base: Experiment, design: Design, kept: Path) -> list[GradientQuality]:
    """Measure the gradient's signal and noise on each machine, at the noiseless model after a tenth of the rounds.

    Args:
        base: The experiment.
        design: The machines, and the factors on their error rates.
        kept: A file of JSON lines from which the figures are read if it is of the same experiment, and else written.
    """
    asked = sha256(
        f"{base.model_dump_json()} {design.devices} {design.factors} {_MINIBATCH} {_GRADIENT_SHOTS} {_DRAWS}".encode()
    ).hexdigest()
    if kept.exists():
        first, *lines = kept.read_text(encoding="utf-8").splitlines()
        if json.loads(first) == {"of": asked}:
            return [GradientQuality(**json.loads(line)) for line in lines]
    few = max(base.federation.rounds // 10, 1)
    federation = base.federation.model_copy(update={"rounds": few})
    noiseless = BackendsFile(backends={"ideal": AerEntry(type="aer")})
    experiment = base.model_copy(update={"federation": federation, "backends": noiseless})
    folder = kept.parent / "runs" / "gradients"
    run = run_federation(experiment, folder, overwrite=True)
    model = load_model(folder)
    data = prepare_data(experiment)
    rng = numpy_generator(derive_seed(base.seed, "minibatch of the gradients"))
    rows = np.sort(rng.choice(np.concatenate(data.shards), _MINIBATCH, replace=False))
    minibatch = Examples(np.asarray(data.train.features[rows]), data.train.labels[rows])
    found = []
    for name, machine in design.devices.items():
        for factor in design.factors:
            for shots in _GRADIENT_SHOTS:
                section = array({name: {**machine, "noise_factor": factor}}, shots)
                backend = BackendRegistry.from_mapping(section)[name.lower()]
                assert isinstance(backend, AerBackend)
                found.append(gradient_quality(model, run, backend, minibatch, draws=_DRAWS, seed=base.seed))
    lines = [json.dumps({"of": asked}), *(json.dumps(asdict(quality)) for quality in found)]
    write_text(kept, "\n".join(lines) + "\n")
    return found


def _tell(trial: Trial, run: RunResult, done: int, total: int) -> None:
    seconds = sum(record.seconds for record in run.rounds)
    print(
        f"{done}/{total} {trial.scheme}, seed {trial.seed}: {settled_accuracy(run):.2%} in {duration(seconds)}",
        flush=True,
    )
