"""Heads of the user's own: drawn from seeds of their own, tried before anything runs, and none at all."""

import pytest
import torch
from torch import nn

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.model.heads import build_head
from qiskit_fedqml.model.own_head import OwnHead
from qiskit_fedqml.seeds import torch_generator


def own(name, num_features=5, seed=1, **arguments):
    config = ModelConfig(head=PythonReference(python=f"tests.own_parts:{name}", arguments=arguments))
    return build_head(num_features, config, 2, seed)


@pytest.mark.parametrize("name", ["own_head", "LazyHead"])
def test_initial_weights_are_seeded_without_the_global_generator(name):
    before = torch.get_rng_state()
    first, again, other = own(name).state_dict(), own(name).state_dict(), own(name, seed=2).state_dict()
    assert all(torch.equal(first[key], again[key]) and not torch.equal(first[key], other[key]) for key in first)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["own_head", "LazyHead"])  # a layer of torch's, and a function
def test_torchs_dropout_draws_from_the_heads_generator(name):
    head, features = own(name).train(), torch.ones(7, 5)
    before = torch.get_rng_state()
    head.generator = torch_generator(3)
    first, second = head(features), head(features)
    assert not torch.equal(first, second)
    head.generator = torch_generator(3)
    assert torch.equal(head(features), first)
    assert torch.equal(head(features), second)
    assert torch.equal(before, torch.get_rng_state())


class Noisy(nn.Linear):
    """Draws in tests too."""

    def forward(self, features):
        return super().forward(features) + torch.randn(())


def test_what_a_head_draws_in_tests_is_always_the_same():
    head = OwnHead(Noisy(3, 2)).eval()
    before = torch.get_rng_state()
    assert torch.equal(head(torch.ones(4, 3)), head(torch.ones(4, 3)))
    assert torch.equal(before, torch.get_rng_state())


def test_a_head_that_fails_leaves_the_global_generator():
    head, before = OwnHead(nn.Linear(3, 2)).train(), torch.get_rng_state()
    head.generator = torch_generator(3)
    with pytest.raises(RuntimeError):
        head(torch.ones(4, 9))
    assert torch.equal(before, torch.get_rng_state())


def test_arguments_reach_the_head():
    assert own("own_head", width=9).module[0].out_features == 9


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("head_with_statistics", r"training changes the buffer '1\.running_mean'.*GroupNorm in place of BatchNorm\.$"),
        ("head_of_another_shape", r"must return \(2, 2\) for features of shape \(2, 5\), but returned \(2, 3\)\."),
        ("narrow_head", r"fails on features of shape \(2, 5\): .*shapes cannot be multiplied"),
        ("no_head", "must return a torch.nn.Module, but returned a int"),
        ("own_circuit", "does not take these arguments"),
        ("nothing", "`model.head`: .* cannot be imported"),
    ],
)
def test_heads_that_are_none_are_refused(name, message):
    with pytest.raises(ConfigurationError, match=message):
        own(name)


def test_buffers_that_training_leaves_alone_are_taken():
    assert "module.mask" in own("masked_head").state_dict()


def test_without_a_head_features_are_the_circuits_inputs():
    head = build_head(4, ModelConfig(head="none"), 4, seed=0)
    features = torch.randn(3, 4)
    assert torch.equal(head(features), features)
    assert not head.state_dict()
    with pytest.raises(ConfigurationError, match="there are 5 features and 4 inputs"):
        build_head(5, ModelConfig(head="none"), 4, seed=0)
