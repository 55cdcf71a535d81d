import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.data.datasets import Split
from qiskit_fedqml.data.features import extract_features
from qiskit_fedqml.data.images import ArrayImages
from qiskit_fedqml.data.npz import npz
from qiskit_fedqml.errors import DataError

torchvision = pytest.importorskip("torchvision", exc_type=(ImportError, RuntimeError))


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    model = torchvision.models.squeezenet1_1(weights=None)
    torch.save(model.state_dict(), tmp_path / "squeezenet.pth")
    return tmp_path / "squeezenet.pth", model.eval()


def images(count=5, size=40):
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def split(pixels):
    return Split(ArrayImages(pixels), np.zeros(len(pixels), dtype=np.int64))


def config(file, **replaced):
    values = {
        "backbone": "squeezenet1_1",
        "layer": "features.5",
        "weights": str(file),
        "image_size": 40,
        "pooling": "average",
        **replaced,
    }
    return FeaturesConfig(**values)


def reference(model, pixels, layers):
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        return model.features[:layers]((x - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1))


def test_features_are_the_backbones_up_to_the_layer(weights, cache):
    path, model = weights
    maps = reference(model, images(), 6)
    average = extract_features(split(images()), config(path))
    np.testing.assert_allclose(average, maps.mean(dim=(2, 3)), atol=1e-5)
    flat = extract_features(split(images()), config(path, pooling="flatten"))
    np.testing.assert_allclose(flat, maps.flatten(1), atol=1e-5)
    assert average.dtype == np.float32
    assert len(list(cache.iterdir())) == 2


def test_cache_answers_the_second_time_and_knows_what_changed(weights, cache):
    path, _ = weights
    done = []
    first = extract_features(split(images()), config(path), lambda *a: done.append(a))
    assert done[-1] == ("squeezenet1_1 features", 5, 5)
    done.clear()
    np.testing.assert_array_equal(extract_features(split(images()), config(path), lambda *a: done.append(a)), first)
    assert not done
    other = images()
    other[0, 0, 0, 0] ^= 255
    assert not np.array_equal(extract_features(split(other), config(path)), first)
    assert not np.array_equal(extract_features(split(images()), config(path, image_size=48)), first)
    state = torch.load(path, weights_only=True)
    state["features.0.bias"] += 1
    torch.save(state, path)
    assert not np.array_equal(extract_features(split(images()), config(path)), first)


def test_damaged_cache_is_computed_again(weights, cache):
    first = np.array(extract_features(split(images()), config(weights[0])))
    (file,) = cache.iterdir()
    for damaged in (b"", file.read_bytes()[:200]):
        file.write_bytes(damaged)
        np.testing.assert_array_equal(extract_features(split(images()), config(weights[0])), first)


def test_average_needs_a_map_of_channels_first(weights, cache, tmp_path):
    torch.save(torchvision.models.swin_t(weights=None).state_dict(), tmp_path / "swin.pth")
    swin = config(tmp_path / "swin.pth", backbone="swin_t", layer="features.1", image_size=64)
    with pytest.raises(DataError, match="needs channels × height × width"):
        extract_features(split(images(1)), swin)


def test_folder_for_weights_and_unwritable_cache(weights, cache, tmp_path, monkeypatch):
    with pytest.raises(DataError, match="is a folder"):
        extract_features(split(images()), config(tmp_path))
    (tmp_path / "file").touch()
    monkeypatch.setenv("FEDQML_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cannot be kept in .*FEDQML_CACHE"):
        extract_features(split(images()), config(weights[0]))


def test_interrupted_extraction_leaves_nothing_behind(weights, cache):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract_features(split(images()), config(weights[0]), stop)
    assert list(cache.iterdir()) == []


def test_weights_of_the_used_layers_suffice_and_are_strict(weights, cache):
    path, _ = weights
    state = torch.load(path, weights_only=True)
    used = {k: v for k, v in state.items() if k.split(".")[1] in {"0", "3", "4", "5"}}
    torch.save(used, path)
    assert extract_features(split(images()), config(path)).shape == (5, 128)
    del used["features.0.weight"]
    torch.save(used, path)
    with pytest.raises(DataError, match=r"does not fit squeezenet1_1 up to 'features.5': features.0.weight is missing"):
        extract_features(split(images()), config(path))
    used["features.0.weight"] = torch.zeros(1)
    torch.save(used, path)
    with pytest.raises(DataError, match=r"features.0.weight has shape \(1,\)"):
        extract_features(split(images()), config(path))


class Malicious:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_is_unpickled(tmp_path, cache, capsys):
    torch.save({"a": Malicious()}, tmp_path / "bad.pth")
    with pytest.raises(DataError, match="not a state dict"):
        extract_features(split(images()), config(tmp_path / "bad.pth"))
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"backbone": "squeezenet11"}, "no model 'squeezenet11'; did you mean 'squeezenet1_1'"),
        ({"backbone": "vgg61", "weights": "torchvision"}, "no model 'vgg61'"),
        ({"layer": "features.99"}, "no layer 'features.99'"),
        ({"image_size": 1}, "do not fit"),
    ],
)
def test_wrong_settings(weights, cache, replaced, message):
    with pytest.raises(DataError, match=message):
        extract_features(split(images()), config(weights[0], **replaced))


def test_images_need_a_backbone():
    with pytest.raises(DataError, match=r"`features.backbone`.*must say how"):
        extract_features(split(images()), FeaturesConfig())


def test_missing_weights_file(cache):
    with pytest.raises(DataError, match="There is no 'nowhere.pth'"):
        extract_features(split(images()), config("nowhere.pth"))


def test_real_vgg16_block_separates_planes_from_cars(shared_data, cache):
    from sklearn.linear_model import LogisticRegression

    data = npz("data/planes_vs_cars.npz", (0, 1))
    vgg = FeaturesConfig(
        backbone="vgg16",
        layer="features.9",
        weights="weights/vgg16_blocks1-2_imagenet.pth",
        image_size=32,
        pooling="flatten",
    )
    pixels, labels = data.test.inputs.read(np.arange(800), 32), data.test.labels[:800]
    features = extract_features(split(pixels), vgg)
    assert features.shape == (800, 8192)
    probe = LogisticRegression(C=1e-3, max_iter=200).fit(features[:600], labels[:600])
    assert probe.score(features[600:], labels[600:]) > 0.85


def test_a_cache_file_of_another_kind_is_computed_again(weights, cache):
    first = np.array(extract_features(split(images()), config(weights[0])))
    (file,) = cache.iterdir()
    for other in (np.float32(1), np.zeros(5, np.float32), np.zeros((5, 3)), np.zeros((4, 3), np.float32)):
        np.save(file, other)
        np.testing.assert_array_equal(extract_features(split(images()), config(weights[0])), first)
    file.write_bytes(b"\x93NUMPY\x01\x00\x06\x00(((((\n")
    np.testing.assert_array_equal(extract_features(split(images()), config(weights[0])), first)
    np.savez(file.with_suffix(".npz"), first)
    file.with_suffix(".npz").replace(file)
    np.testing.assert_array_equal(extract_features(split(images()), config(weights[0])), first)


def test_a_cache_that_cannot_be_read_or_has_no_room(weights, cache, monkeypatch):
    extract_features(split(images()), config(weights[0]))
    (file,) = cache.iterdir()
    file.unlink()
    file.mkdir()
    with pytest.raises(DataError, match=r"Features cannot be kept in .*FEDQML_CACHE"):
        extract_features(split(images()), config(weights[0]))
    file.rmdir()
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1000, 999, 1))
    with pytest.raises(DataError, match=r"5 × 128 features take .* but .*FEDQML_CACHE\) has only 0.0 GiB free"):
        extract_features(split(images()), config(weights[0]))
    assert not list(cache.iterdir())


def test_no_home_for_the_cache(weights, monkeypatch):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FEDQML_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", fail)
    with pytest.raises(DataError, match="no home folder for the cache; FEDQML_CACHE must name a folder"):
        extract_features(split(images()), config(weights[0]))


def test_sizes_without_bound_are_refused_before_anything_is_allocated(weights, cache):
    with pytest.raises(DataError, match="Images of size 1000000000 in squeezenet1_1 need at least .* GiB of memory"):
        extract_features(split(images()), config(weights[0], image_size=1_000_000_000))
    assert not cache.exists()
