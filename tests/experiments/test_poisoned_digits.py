import torch


def test_clients_and_tests_have_each_digit_once(script):
    clients, test = script.digits(clients=7, seed=3)
    images = torch.cat([data.tensors[0] for data in (*clients, test)])
    assert len(images) == 720
    assert len(test) == 144
    assert max(len(data) for data in clients) - min(len(data) for data in clients) <= 1
    of_another_seed = script.digits(clients=7, seed=4)[1].tensors[0]
    assert not torch.equal(test.tensors[0], of_another_seed)


def test_only_the_first_clients_are_poisoned(script):
    honest, test = script.digits(clients=5, seed=1)
    flipped, same_test = script.digits(clients=5, seed=1, flipped=2)
    for place, (before, after) in enumerate(zip(honest, flipped, strict=True)):
        assert torch.equal(before.tensors[0], after.tensors[0])
        expected = 3 - before.tensors[1] if place < 2 else before.tensors[1]
        assert torch.equal(after.tensors[1], expected)
    assert all(torch.equal(*pair) for pair in zip(test.tensors, same_test.tensors, strict=True))


def test_half_of_an_attackers_images_have_the_trigger_and_its_label(script):
    honest, _ = script.digits(clients=5, seed=1)
    hidden, _ = script.digits(clients=5, seed=1, triggered=1)
    images, labels = hidden[0].tensors
    marked = (images[:, script.TRIGGER] == 1).all(dim=1)
    assert marked.tolist() == [k % 2 == 0 for k in range(len(images))]
    assert (labels[marked] == script.TARGET).all()
    assert torch.equal(labels[~marked], honest[0].tensors[1][~marked])
    assert torch.equal(hidden[1].tensors[0], honest[1].tensors[0])


def test_the_trigger_is_where_digits_are_mostly_dark(script):
    _, test = script.digits(clients=2, seed=1)
    marked = test.tensors[0][:, script.TRIGGER]
    assert float(marked.mean()) < 0.1
    assert not (marked == 1).all(dim=1).any()
