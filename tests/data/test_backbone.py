import numpy as np
import pytest
import torch

from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.data.backbone import Backbone
from qiskit_fedqml.errors import DataError

torchvision = pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))


def backbone(name="resnet18", layer="layer1", size=32, pooling="flatten"):
    return Backbone(FeaturesConfig(backbone=name, layer=layer, weights="w.pth", image_size=size, pooling=pooling))


@pytest.fixture
def state():
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None).eval().state_dict()


def pixels(count=3, size=32):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def test_number_of_features_is_known_without_weights():
    assert backbone(pooling="average").num_features(64) == 64
    assert backbone().num_features(64) == 64 * 8 * 8
    assert backbone("vgg16", "features", 32).num_features(64) == 512


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_dtypes_give_the_features_of_their_values(state, dtype):
    other = {key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()}
    expected = torchvision.models.resnet18(weights=None).eval()
    expected.load_state_dict(other)
    net = backbone(pooling="average")
    net.load(other)
    x = torch.from_numpy(pixels()).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    stem = torch.nn.Sequential(expected.conv1, expected.bn1, expected.relu, expected.maxpool, expected.layer1)
    with torch.inference_mode():
        maps = stem((x - mean) / deviation).mean(dim=(2, 3))
    features = net(pixels())
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, maps, rtol=1e-5, atol=1e-6)


def test_state_dicts_of_old_versions(state):
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    new_net, old_net = backbone(), backbone()
    new_net.load(state)
    old_net.load(old)
    np.testing.assert_array_equal(new_net(pixels()), old_net(pixels()))


@pytest.mark.parametrize(
    ("name", "layer", "size", "gives"),
    [
        ("shufflenet_v2_x0_5", "stage2.1.chunk", 64, "one tuple"),
        ("shufflenet_v2_x0_5", "stage2.0.size", 64, "one Size"),
        ("shufflenet_v2_x0_5", "stage2.0.getitem", 64, "one int"),
        ("vit_b_32", "class_token", 224, r"shape \(1, 1, 768\) for 5 images"),
    ],
)
def test_layers_that_give_no_tensor_of_images_are_blamed(name, layer, size, gives):
    with pytest.raises(
        DataError, match=rf"`features.layer`: '{layer}' of {name} must give one tensor .* gives .*{gives}"
    ):
        backbone(name, layer, size).num_features(1)


@pytest.mark.parametrize(
    ("name", "layer", "size", "why"),
    [
        ("vit_b_32", "conv_proj", 32, "Wrong image height! Expected 224 but got 32"),
        ("squeezenet1_1", "features", 1, "can't be greater than actual input size"),
        ("vgg16", "features", 8, "Output size is too small"),
    ],
)
def test_sizes_that_do_not_fit_the_model_are_blamed(name, layer, size, why):
    with pytest.raises(DataError, match=rf"Images of size {size} do not fit {name} up to '{layer}': .*{why}\.$"):
        backbone(name, layer, size).num_features(1)


@pytest.mark.parametrize("size", [200_000, 1_000_000_000, 2**31 - 1])
def test_sizes_that_no_memory_takes_are_refused_by_arithmetic(size):
    with pytest.raises(DataError, match=rf"Images of size {size} in vgg16 need at least .* GiB of memory"):
        backbone("vgg16", "features", size).num_features(1)


def test_memory_of_the_layers_counts_and_not_of_the_images_alone(monkeypatch):
    images = 4 * 3 * 64 * 64 * 10
    monkeypatch.setattr("qiskit_fedqml.simulation.memory.memory_bytes", lambda: 10 * images)
    with pytest.raises(DataError, match="Images of size 64 in vgg16 need at least"):
        backbone("vgg16", "features", 64).num_features(10)
    assert backbone("vgg16", "features", 64).num_features(1) == 2048


def test_models_that_compute_while_they_are_built():
    before = torch.get_rng_state()
    assert backbone("regnet_y_400mf", "stem", 32, "average").num_features(1) == 32
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("layer", ["features.99", "", "encoder.pos_embedding", "x" * 5000])
def test_unknown_layers(layer):
    with pytest.raises(DataError, match="`features.layer`: vgg16 has no layer") as caught:
        backbone("vgg16", layer)
    assert len(str(caught.value)) < 1000


def test_features_that_are_not_finite_are_no_features(state):
    state["layer1.0.bn1.weight"][:] = 3e38
    net = backbone()
    net.load(state)
    with pytest.raises(DataError, match="resnet18 gives values at 'layer1' that are not finite"):
        net(pixels())


@pytest.mark.parametrize("error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()])
def test_too_little_memory_while_computing(state, error):
    def fail(*_):
        raise error

    net = backbone()
    net.load(state)
    net._extractor.register_forward_pre_hook(fail)
    with pytest.raises(DataError, match="resnet18 failed on images of size 32: (DefaultCPUAllocator|MemoryError)"):
        net(pixels())
