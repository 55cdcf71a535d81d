"""The gradient's signal and noise on each machine of the noise study, measured at one model and one minibatch."""

import json
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

import numpy as np

from parts.noise_design import Design, array
from qiskit_fedqml import BackendRegistry, load_model, run_federation
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.config.backends import AerEntry, BackendsFile
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.data.preparation import prepare_data
from qiskit_fedqml.files import write_text
from qiskit_fedqml.seeds import derive_seed, numpy_generator
from qiskit_fedqml.study.gradients import GradientQuality, gradient_quality

_MINIBATCH = 32
"""Examples on which gradients are compared."""

_SHOTS = (128, 1024, 8192)
_DRAWS = 50
"""Gradients drawn on each machine with each number of shots."""


def gradient_study(base: Experiment, design: Design, kept: Path) -> list[GradientQuality]:
    """Measure the gradient's signal and noise on each machine, at the noiseless model after a tenth of the rounds.

    Args:
        base: The experiment.
        design: The machines, and the factors on their error rates.
        kept: A file of JSON lines from which the figures are read if it is of the same experiment, and else written.
    """
    settings = f"{base.model_dump_json()} {design.devices} {design.factors} {_MINIBATCH} {_SHOTS} {_DRAWS}"
    header = {"of": sha256(settings.encode()).hexdigest()}
    if kept.exists():
        first, *lines = kept.read_text(encoding="utf-8").splitlines()
        if json.loads(first) == header:
            return [GradientQuality(**json.loads(line)) for line in lines]
    qualities = _measured(_noiseless(base), design, kept.parent / "runs" / "gradients")
    rows = [header, *map(asdict, qualities)]
    write_text(kept, "".join(f"{json.dumps(row)}\n" for row in rows))
    return qualities


def _noiseless(base: Experiment) -> Experiment:
    """Return the experiment with a tenth of its rounds, without noise."""
    federation = base.federation.model_copy(update={"rounds": max(base.federation.rounds // 10, 1)})
    backends = BackendsFile(backends={"ideal": AerEntry(type="aer")})
    return base.model_copy(update={"federation": federation, "backends": backends})


def _measured(experiment: Experiment, design: Design, folder: Path) -> list[GradientQuality]:
    run = run_federation(experiment, folder, overwrite=True)
    model, minibatch = load_model(folder), _minibatch(experiment)
    found = []
    for name, machine in design.devices.items():
        for factor in design.factors:
            for shots in _SHOTS:
                section = array({name: {**machine, "noise_factor": factor}}, shots)
                backend = BackendRegistry.from_mapping(section)[name.lower()]
                assert isinstance(backend, AerBackend)
                found.append(gradient_quality(model, run, backend, minibatch, draws=_DRAWS, seed=experiment.seed))
    return found


def _minibatch(experiment: Experiment) -> Examples:
    data = prepare_data(experiment)
    rng = numpy_generator(derive_seed(experiment.seed, "minibatch of the gradients"))
    rows = np.sort(rng.choice(np.concatenate(data.shards), _MINIBATCH, replace=False))
    return Examples(np.asarray(data.train.features[rows]), data.train.labels[rows])
