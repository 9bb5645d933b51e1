"""What heads may be used for: stated by those that ship, shown, and kept by a service for commercial use."""

import json
import shutil

import grpc
import pytest

from tests.service.bundles import linked_repository
from trunkline.api.catalog.v1 import catalog_service_pb2
from trunkline.api.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from trunkline.assembly import roles
from trunkline.client import AsyncClient, ServiceError
from trunkline.core.bundle import read_bundle
from trunkline.core.catalog import catalog_text, write_catalog
from trunkline.core.errors import TermsError
from trunkline.core.models import HeadCatalog
from trunkline.core.repository import Repository
from trunkline.core.terms import terms_of_licence
from trunkline.heads.versions import Choice, LoadedVersions
from trunkline.testing import serve, serve_split
from trunkline.testing.serve import local_settings

SHIPPED = {
    "bccd": "any",
    "camvid": "non-commercial",
    "coco": "any",
    "digit-angle": "any",
    "flowers102": "research",
    "imagenet": "any",
    "omniglot": "any",
    "pennfudan": "research",
    "pets": "any",
}


@pytest.fixture(params=[serve, serve_split])
def form(request):
    return request.param


def copied_head(models, repository, name, version=1, terms=None):
    """A copy of imagenet as another head, or another version, with these terms; None for a manifest without any."""
    path = repository / "heads" / name / str(version)
    shutil.copytree(Repository(models).head("imagenet").path, path)
    state(path, terms, name=name, version=version)
    return path


def state(path, terms, **changes):
    manifest = json.loads((path / "manifest.json").read_text()) | changes
    manifest.pop("terms", None)
    if terms is not None:
        manifest["terms"] = terms
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_heads_that_ship_state_their_terms(models):
    repository = Repository(models)
    found = {name: repository.head(name).manifest.terms for name in repository.names("head")}
    assert found.items() >= SHIPPED.items()
    assert None not in found.values()


async def test_a_service_for_commercial_use_has_only_what_may_be_used_so(form, photos):
    asked = ("imagenet", "flowers102", "pennfudan", "coco", "camvid")
    async with form(terms="commercial", heads=asked) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=60)
        heads = {head.name: head for head in await client.list_heads()}
        assert {name: (head.terms, head.ready, head.barred) for name, head in heads.items()} == {
            "camvid": ("non-commercial", False, True),
            "coco": ("any", True, False),
            "flowers102": ("research", False, True),
            "imagenet": ("any", True, False),
            "pennfudan": ("research", False, True),
        }
        with pytest.raises(
            ServiceError, match="its terms are 'research', and this service is for commercial"
        ) as caught:
            await client.classify(photos[0], head="flowers102")
        assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "TERMS")
        assert caught.value.metadata == {"head": "flowers102", "terms": "research"}
        with pytest.raises(ServiceError, match="'non-commercial'"):  # the only head of its task
            await client.segment(photos[0])
        done = await client.analyze(photos[-1], ["pennfudan", "coco"])
        assert done["pennfudan"].error.reason == "TERMS"
        assert any(each.label.label == "car" for each in done["coco"].value().objects)


async def test_a_gateway_for_commercial_use_asks_no_other_heads(models, tmp_path, photos):
    """Whatever the services behind it would serve: they have settings of their own."""
    repository = linked_repository(models, tmp_path)
    copied_head(models, repository, "second", terms="research")
    plain = local_settings(models=repository)
    async with roles.backbone(plain) as backbone, roles.heads(plain) as heads, roles.catalog(plain) as catalog:
        behind = {"backbone_address": backbone.address, "head_addresses": (heads.address,)}
        strict = local_settings(
            models=repository, catalog_address=catalog.address, terms="commercial", training_jobs=0, **behind
        )
        async with roles.gateway(strict) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=60)
            assert (await client.classify(photos[0], head="imagenet")).head == "imagenet"
            with pytest.raises(ServiceError, match="its terms are 'research'") as caught:
                await client.classify(photos[0], head="second")
            assert caught.value.reason == "TERMS"
            assert {head.name: head.barred for head in await client.list_heads()} == {
                "imagenet": False,
                "second": True,
            }


async def test_the_default_is_among_what_may_be_used(models, tmp_path, photos):
    """Of two classifiers one is barred: then the other needs no name."""
    repository = linked_repository(models, tmp_path)
    copied_head(models, repository, "second", terms="research")
    commercial = serve(models=repository, terms="commercial", default_heads=())
    async with commercial as host, AsyncClient(host.address) as client:
        assert (await client.classify(photos[0])).head == "imagenet"
    async with serve(models=repository, default_heads=()) as host, AsyncClient(host.address) as client:
        with pytest.raises(ServiceError, match="several classification heads"):
            await client.classify(photos[0])


@pytest.mark.parametrize(("terms", "served"), [("any", True), (None, False), ("non-commercial", False)])
def test_what_is_not_known_is_not_any(models, tmp_path, terms, served):
    repository = linked_repository(models, tmp_path)
    copied_head(models, repository, "copy", terms=terms)
    versions = LoadedVersions(Repository(repository), Choice(("copy",), commercial=True), grace_s=0)
    versions.refresh()
    info = versions.heads["copy"]
    assert (info.terms, not info.fault, not info.barred) == (terms, served, served)
    if not served:
        assert isinstance(versions.find("copy", 1).error, TermsError)
        assert f"its terms are '{terms or 'unknown'}'" in info.fault
    everything = LoadedVersions(Repository(repository), Choice(("copy",)), grace_s=0)
    everything.refresh()
    assert not everything.heads["copy"].fault


def test_terms_that_change_hold_at_the_next_look_and_each_version_has_its_own(models, tmp_path):
    repository = linked_repository(models, tmp_path)
    first = copied_head(models, repository, "copy", terms="any")
    copied_head(models, repository, "copy", version=2, terms="research")
    write_catalog(repository, "copy", catalog_text(HeadCatalog(default=2, history=(1,))))
    versions = LoadedVersions(Repository(repository), Choice(("copy",), commercial=True), grace_s=0)
    versions.refresh()
    assert versions.heads["copy"].version == "1"  # the default before
    assert "'research'" in versions.heads["copy"].routes.warning
    state(first, "non-commercial")
    versions.refresh()
    assert versions.heads["copy"].barred
    assert isinstance(versions.find("copy", 1).error, TermsError)


async def test_the_catalog_says_terms(host_of_imagenet):
    async with grpc.aio.insecure_channel(host_of_imagenet.address) as channel:
        request = catalog_service_pb2.GetModelVersionRequest(name="flowers102")
        assert (await CatalogServiceStub(channel).GetModelVersion(request)).version.terms == "research"


@pytest.fixture
async def host_of_imagenet():
    async with serve(heads=("imagenet",)) as host:
        yield host


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        ("MIT", "any"),
        ("Apache-2.0", "any"),
        ("CC BY 4.0", "any"),
        ("CC-BY-SA-4.0", "any"),
        ("public domain", "any"),
        ("CC BY-NC 4.0", "non-commercial"),
        ("CC-BY-NC-SA-4.0", "non-commercial"),
        ("AGPL-3.0 License (https://ultralytics.com/license)", None),
        ("not stated", None),
        ("MIT, but ask first", None),
        ("", None),
    ],
)
def test_licences_that_everybody_knows_say_it(licence, terms):
    assert terms_of_licence(licence) == terms


def test_terms_that_are_none_are_refused(models, tmp_path):
    repository = linked_repository(models, tmp_path)
    path = copied_head(models, repository, "copy", terms="everything")
    with pytest.raises(Exception, match="terms: Input should be 'any', 'non-commercial' or 'research'"):
        read_bundle(path)
