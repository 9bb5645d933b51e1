"""Real photographs, real weights: the answers that the mission asks for, in both forms."""

from pathlib import Path

import pytest

from trunkline.client import Client

CATS = {"tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat", "lynx", "cougar", "leopard"}


@pytest.fixture
def client(either_form):
    with Client(either_form.address) as client:
        yield client


def best(client: Client, photo: Path):
    return client.classify(photo).result.labels[0]


def test_coffee_is_espresso(client, samples):
    label = best(client, samples / "coffee.jpg")
    assert label.label == "espresso"
    assert label.score > 0.9


def test_the_camera_stands_on_a_tripod(client, samples):
    label = best(client, samples / "camera.jpg")
    assert label.label == "tripod"
    assert label.score > 0.9


def test_chelsea_is_a_cat_in_all_of_the_top_three(client, samples):
    labels = client.classify(samples / "chelsea.jpg", top_k=3).result.labels
    assert {label.label for label in labels} <= CATS


def test_split_and_all_in_one_give_the_same_answers_bit_for_bit(all_in_one, split, photos):
    with Client(all_in_one.address) as one, Client(split.address) as other:
        for photo in photos:
            here, there = (client.classify(photo, top_k=1000) for client in (one, other))
            assert here.result == there.result
            assert here.image_size == there.image_size


def test_scores_are_probabilities_in_falling_order(client, photos):
    scores = [label.score for label in client.classify(photos[0], top_k=1000).result.labels]
    assert len(scores) == 1000
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-4)
