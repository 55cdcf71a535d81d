import numpy as np
import pytest


def test_each_client_has_images_of_all_classes_in_turn(script):
    for images, labels in ((1, [[0], [1], [2], [3]]), (2, [[0, 1], [2, 3], [0, 1], [2, 3]])):
        clients, _ = script.few_digits(images, seed=2)
        assert [data.tensors[1].tolist() for data in clients] == labels
        rows = np.concatenate([data.tensors[0].numpy() for data in clients])
        assert len(np.unique(rows, axis=0)) == len(rows)


def test_a_units_weights_over_its_bias_are_the_image_of_a_client_with_one(script):
    found = script.round_of(script.inversion_experiment(1, 3, has_head=True, changes={}))
    for update, images in zip(found.updates, found.images, strict=True):
        pictures = script.from_first_layer(update)
        assert pictures[0] == pytest.approx(images[0], abs=1e-3)


def test_units_that_have_not_changed_give_no_picture(script):
    change = {"head.0.weight": np.array([[0.2, 0.4], [0.0, 0.0], [3.0, -1.0]]), "head.0.bias": np.array([0.4, 0, 1.0])}
    assert script.from_first_layer(change) == pytest.approx(np.array([[1.0, 0.0], [0.5, 1.0]]))


def test_the_aggregate_of_a_round_is_the_mean_of_the_updates(script):
    found = script.round_of(script.inversion_experiment(2, 3, has_head=True, changes={}))
    for name, change in found.aggregate.items():
        assert change == pytest.approx(np.mean([update[name] for update in found.updates], axis=0), abs=1e-6)


def test_an_image_is_found_through_a_circuit_alone(script):
    found = script.round_of(script.inversion_experiment(1, 1, has_head=False, changes={}))
    picture = script.through_circuit(found, 1, [script.mean_digits(1)[1]])
    assert picture == pytest.approx(found.images[1][0], abs=0.01)
