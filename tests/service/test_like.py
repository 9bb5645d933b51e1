"""`train --like HEAD`: the spec and the backbone of another head, so that both share a pass."""

import pytest

pytest.importorskip("lightning", reason="needs the train extra: pip install -e '.[train]'")

from tests.service.crops import class_folders
from tests.service.test_again import second_backbone
from tests.service.variants import repository_with
from trunkline.client import AsyncClient
from trunkline.core.errors import InvalidRequestError, NotFoundError
from trunkline.core.progress import Watcher
from trunkline.core.repository import Repository
from trunkline.core.train_command import request_on_card
from trunkline.core.train_request import TrainRequest, parse_request
from trunkline.serving.wire_training import request_from_pb, request_to_pb
from trunkline.testing import serve
from trunkline.training.early import looked_ahead
from trunkline.training.run import Places, train_head

QUIET = Watcher(stage=lambda *_: None, epoch=lambda _: None)


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    return class_folders(tmp_path_factory.mktemp("data"), samples)


@pytest.fixture
def repository(tmp_path, models):
    return repository_with(models, tmp_path / "models", "imagenet")


def asked(data, **more):
    return parse_request({"name": "photos", "data": str(data), "like": "imagenet", **more})


async def test_a_head_that_is_learned_like_another_shares_its_pass(data, repository, tmp_path, photos):
    request = asked(data, options={"epochs": 2}, views=1, features=("pooled",))
    folder = train_head(request, Places(repository, tmp_path / "cache", tmp_path / "work"), QUIET)
    found = Repository(repository)
    made, like = found.head("photos"), found.head("imagenet").manifest
    assert made.manifest.preprocess == like.preprocess
    assert made.manifest.backbone == like.backbone
    # The card says what was learned, whatever becomes of that head.
    repeated = request_on_card(made.card)
    assert (repeated.spec, repeated.like, repeated.backbone) == (like.preprocess, None, like.backbone.name)
    assert folder == made.path
    async with serve(models=repository) as host, AsyncClient(host.address) as client:
        answer = await client.analyze(photos[0], ["imagenet", "photos"])
        assert answer.backbone_passes == 1
        assert [each.head for each in answer.passes[0].heads] == ["imagenet", "photos"]


def test_what_cannot_be_shared_is_said_before_anything_is_learned(data, repository, models):
    with pytest.raises(NotFoundError, match="nobody"):
        looked_ahead(asked(data, like="nobody"), repository)
    second = second_backbone(repository, models)
    target = repository / "backbones/efficientnet-lite0/2"
    (repository / "backbones" / second.name / "1").rename(target)
    manifest = (target / "manifest.json").read_text()
    changed = manifest.replace('"second"', '"efficientnet-lite0"').replace('"version": 1', '"version": 2')
    (target / "manifest.json").write_text(changed)
    with pytest.raises(
        InvalidRequestError, match=r"is on backbone efficientnet-lite0/1.* newest, efficientnet-lite0/2"
    ):
        looked_ahead(asked(data), repository)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"spec": {"width": 96, "height": 96}}, "leave spec, its width and the like, out"),
        ({"mode": "pretrained"}, "takes the spec of its source"),
    ],
)
def test_two_specs_are_refused(data, more, words):
    with pytest.raises(InvalidRequestError, match=words):
        asked(data, **more)


def test_the_name_travels_with_a_job(data):
    request = asked(data)
    assert request_from_pb(request_to_pb(request)) == request
    assert TrainRequest.model_validate(request.model_dump()).like == "imagenet"
