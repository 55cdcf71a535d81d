import numpy as np
import pytest

from qiskit_fedqml.data.preparation import prepare_data
from qiskit_fedqml.data.scaling import feature_sums, mean_and_deviation
from qiskit_fedqml.errors import DataError


def test_sums_of_clients_give_mean_and_deviation_of_all():
    features = np.random.default_rng(0).normal(3, 2, (700, 5)).astype(np.float32)
    shards = np.array_split(np.random.default_rng(1).permutation(600), 3)  # 100 rows belong to nobody
    held = features[np.concatenate(shards)].astype(float)
    mean, deviation = mean_and_deviation((feature_sums(features, s) for s in shards), per_feature=True)
    np.testing.assert_allclose(mean, held.mean(axis=0))
    np.testing.assert_allclose(deviation, held.std(axis=0))
    mean, deviation = mean_and_deviation((feature_sums(features, s) for s in shards), per_feature=False)
    np.testing.assert_allclose([*mean, *deviation], [held.mean(), held.std()])


def test_feature_that_never_changes_is_not_divided_by_zero():
    sums = feature_sums(np.full((4, 2), 7, dtype=np.float32), np.arange(4))
    assert list(mean_and_deviation([sums], per_feature=True)[1]) == [1, 1]


def test_preparation_never_looks_at_test_or_validation_data(tiny):
    experiment = tiny(
        data__validation_fraction=0.2,
        features={"scaling": {"method": "client_sums", "per_feature": True, "center": True}},
    )
    data = prepare_data(experiment)
    held = data.train.features[np.concatenate(data.shards)]
    np.testing.assert_allclose(data.mean, held.mean(axis=0, dtype=float), atol=1e-9)
    assert not set(data.validation) & set(np.concatenate(data.shards))
    assert len(data.validation) + sum(map(len, data.shards)) == len(data.train.labels)


def test_ready_features_take_no_backbone(tiny):
    backbone = {
        "backbone": "vgg16",
        "layer": "features",
        "weights": "torchvision",
        "image_size": 32,
        "pooling": "flatten",
    }
    with pytest.raises(DataError, match="ready features"):
        prepare_data(tiny(features=backbone))


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1, 3e-20, 1e30])
@pytest.mark.parametrize("per_feature", [True, False])
def test_rounding_is_no_deviation_at_any_scale(value, per_feature):
    features = np.full((5000, 3), value, dtype=np.float32)
    parts = np.array_split(np.arange(5000), 10)
    deviation = mean_and_deviation((feature_sums(features, part) for part in parts), per_feature)[1]
    assert (deviation == 1).all()


@pytest.mark.parametrize("scale", [1e-20, 1e-13, 1.0, 1e20])
def test_deviations_follow_the_scale(scale):
    features = (np.random.default_rng(0).normal(100, 1, (500, 2)) * scale).astype(np.float32)
    deviation = mean_and_deviation([feature_sums(features, np.arange(500))], per_feature=True)[1]
    np.testing.assert_allclose(deviation, features.std(axis=0, dtype=float), rtol=1e-6)
