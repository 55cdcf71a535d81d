import numpy as np
import pytest

from qiskit_fedqml import load_model, run_federation
from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.data.preparation import prepare_data
from qiskit_fedqml.study.gradients import gradient_quality
from tests.conftest import make_tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradients") / "run"
    run = run_federation(make_tiny(federation__rounds=1), folder)
    data = prepare_data(run.experiment)
    rows = np.arange(16)
    return load_model(folder), run, Examples(np.asarray(data.train.features[rows]), data.train.labels[rows])


def quality(trained, strength, shots, draws=30):
    model, run, examples = trained
    noise = noise_from_rates((strength / 10, strength), (0.0, 0.0), (strength, strength)) if strength else None
    return gradient_quality(model, run, AerBackend("m", noise, shots=shots), examples, draws=draws, seed=1)


def test_ideal_machine_has_the_ideal_gradient_and_noise_falls_with_shots(trained):
    few, many = quality(trained, 0.0, 100), quality(trained, 0.0, 10_000)
    assert few.success_probability == 1.0
    assert few.signal == pytest.approx(few.ideal_signal)
    assert few.cosine == pytest.approx(1.0)
    assert few.noise / many.noise == pytest.approx(10.0, rel=0.3)
    assert many.signal_to_noise == pytest.approx(many.signal / many.noise)


def test_noise_shrinks_the_gradient(trained):
    weak, strong = quality(trained, 0.01, 1000), quality(trained, 0.1, 1000)
    assert strong.signal < weak.signal < weak.ideal_signal
    assert strong.success_probability < weak.success_probability < 1


def test_machine_without_shots_is_refused(trained):
    with pytest.raises(ValueError, match="needs shots"):
        quality(trained, 0.0, None)
