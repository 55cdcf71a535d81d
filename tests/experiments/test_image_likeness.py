import numpy as np
import pytest

RNG = np.random.default_rng(1)


def test_decibels_are_those_of_the_mean_squared_error_up_to_60(script):
    image = RNG.random((1, 64))
    assert script.decibels(image, image) == [60.0]
    assert script.decibels(image, image + 0.1) == pytest.approx([20.0])


def test_similarity_is_one_of_equal_pictures_and_lower_of_others(script):
    images = RNG.random((2, 64))
    assert script.similarity(images, images) == pytest.approx([1.0, 1.0])
    assert (script.similarity(images, images[::-1]) < 0.5).all()
    assert script.similarity(images, 1 - images) == pytest.approx(script.similarity(1 - images, images))


def test_similarity_of_windows_by_hand(script):
    """Each of the four windows of 7×7, by the formula."""
    a, b = RNG.random((8, 8)), RNG.random((8, 8))
    found = []
    for row in range(2):
        for column in range(2):
            x, y = (of[row : row + 7, column : column + 7].ravel() for of in (a, b))
            covariance = np.cov(x, y)
            means = 2 * x.mean() * y.mean() + 1e-4, x.mean() ** 2 + y.mean() ** 2 + 1e-4
            spread = 2 * covariance[0, 1] + 9e-4, covariance[0, 0] + covariance[1, 1] + 9e-4
            found.append(means[0] * spread[0] / (means[1] * spread[1]))
    assert script.similarity(a.reshape(1, 64), b.reshape(1, 64)) == pytest.approx([np.mean(found)])
