"""Noise: its distribution, that nothing but a simulation repeats it, and that each process has its own."""

import pickle

import numpy as np
import pytest
import randomgen
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from scipy.stats import kstest

from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.privacy.randomness import SimulatedRandomness, SystemRandomness, open_randomness

EXAMPLES = {"noise_multiplier": 1.0, "max_norm": 1.0, "sampling_rate": 0.5}


@pytest.mark.parametrize("source", [SystemRandomness(), SimulatedRandomness(1, "noise", 1)])
def test_draws_have_their_distributions(source):
    assert kstest(source.normal(20_000), "norm").pvalue > 1e-6
    uniform = source.uniform(20_000)
    assert kstest(uniform, "uniform").pvalue > 1e-6
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert len(source.normal(0)) == 0


def test_the_systems_noise_is_never_the_same_again():
    first, second = SystemRandomness(), SystemRandomness()
    copies = [first, second, pickle.loads(pickle.dumps(first)), pickle.loads(pickle.dumps(first))]
    drawn = [tuple(copy.normal(4)) for copy in copies]
    assert len(set(drawn)) == len(drawn)


def test_the_generator_is_aes_in_counter_mode():
    key = 0x0123456789ABCDEF_FEDCBA9876543210
    words = randomgen.AESCounter(key=key).random_raw(6)
    block = Cipher(algorithms.AES(key.to_bytes(16, "little")), modes.ECB()).encryptor()
    expected = b"".join(block.update(counter.to_bytes(16, "little")) for counter in range(3))
    assert words.astype("<u8").tobytes() == expected


def test_simulated_noise_follows_from_seed_purpose_step_and_client():
    def drawn(*of):
        return tuple(SimulatedRandomness(*of).normal(3))

    places = [(1, "noise", 1, 0), (2, "noise", 1, 0), (1, "sample", 1, 0), (1, "noise", 2, 0), (1, "noise", 1, 1)]
    assert drawn(*places[0]) == drawn(*places[0])
    assert len({drawn(*place) for place in places}) == len(places)


@pytest.mark.parametrize(("named", "kind"), [("system", SystemRandomness), ("simulated", SimulatedRandomness)])
def test_the_configuration_says_which(named, kind):
    config = PrivacyConfig(delta=1e-5, randomness=named, examples=EXAMPLES)
    assert isinstance(open_randomness(config, 1, "noise", 1), kind)


def test_noise_is_in_units_of_one():
    assert np.std(SystemRandomness().normal(200_000)) == pytest.approx(1.0, abs=0.01)
