"""The backbones of a process: loaded once each, dropped when nobody needs them, decoded for together."""

import asyncio
import json
import shutil
import threading
from pathlib import Path

import pytest

from trunkline.backbone import cache as cache_module
from trunkline.backbone import engine as engine_module
from trunkline.backbone.cache import CacheStats, FeatureCache
from trunkline.backbone.engine import BackboneEngine
from trunkline.backbone.loaded import LoadedBackbones
from trunkline.backbone.named import Named
from trunkline.core.bundle import BackboneRef
from trunkline.core.errors import BackboneMismatchError, ConfigurationError, ModelInvalidError, NotFoundError
from trunkline.core.exchange import FeatureRequest
from trunkline.core.images import ImageLimits
from trunkline.core.needed import NeededBackbones
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.repository import Repository
from trunkline.core.shared_picture import SharedPicture
from trunkline.serving.workers import WorkerPool

NAME = "efficientnet-lite0"


@pytest.fixture
def workers():
    pool = WorkerPool(1, 16)
    yield pool
    pool.close()


@pytest.fixture
def store(models, tmp_path) -> Path:
    """The shipped backbone as versions 1 and 2, whose files differ in a byte that changes no number, so in digest."""
    for version in (1, 2):
        folder = tmp_path / "backbones" / NAME / str(version)
        shutil.copytree(models / "backbones" / NAME / "1", folder)
        if version == 2:
            _rename_producer(folder)
    (tmp_path / "heads").mkdir()
    return tmp_path


def _rename_producer(folder: Path) -> None:
    import onnx

    from trunkline.core.bundle import model_digest

    model = onnx.load(folder / "model.onnx")
    model.producer_name = "another"
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"version": 2, "digest": model_digest((folder / "model.onnx").read_bytes())}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def ref(store: Path, version: int) -> BackboneRef:
    manifest = Repository(store).backbone(NAME, version).manifest
    return BackboneRef(name=manifest.name, version=manifest.version, digest=manifest.digest)


class Loads:
    """Loads backbones and counts."""

    def __init__(self, workers: WorkerPool) -> None:
        self.workers = workers
        self.versions: list[int] = []

    def __call__(self, bundle) -> BackboneEngine:
        self.versions.append(bundle.manifest.version)
        return BackboneEngine.load(bundle, self.workers, ImageLimits())


def held(store: Path, workers: WorkerPool, *names: str, grace_s: float = 60) -> tuple[LoadedBackbones, list[int]]:
    loads = Loads(workers)
    return LoadedBackbones(Repository(store), [*map(Named.parse, names)], loads, grace_s), loads.versions


def versions(backbones: LoadedBackbones) -> list[str]:
    return [info.version for info in asyncio.run(backbones.describe())]


def test_one_that_many_need_at_once_is_loaded_once(store, workers):
    backbones, loads = held(store, workers)
    threads = [threading.Thread(target=backbones.need, args=("h", ref(store, 2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == [2]


def test_what_nobody_needs_any_more_is_dropped_after_its_grace(store, workers):
    needed = {ref(store, 1), ref(store, 2)}
    for grace_s, left in ((60.0, ["1", "2"]), (0.0, ["2"])):
        backbones, _ = held(store, workers, grace_s=grace_s)
        backbones.follow(lambda: needed)
        backbones.start()
        assert versions(backbones) == ["1", "2"]
        backbones.follow(lambda: {ref(store, 2)})
        for _ in range(2):
            asyncio.run(backbones.refresh())
        assert versions(backbones) == left


def test_a_folder_of_heads_that_is_away_drops_nothing(store, workers):
    backbones, _ = held(store, workers, grace_s=0.0)
    backbones.follow(lambda: {ref(store, 1)})
    backbones.start()
    backbones.follow(set)
    for _ in range(2):
        asyncio.run(backbones.refresh())
    assert versions(backbones) == ["1"]


@pytest.mark.parametrize(
    ("names", "needed", "served"),
    [
        ((), (1,), ["1"]),
        ((), (), ["2"]),
        ((NAME,), (1,), ["1"]),
        ((NAME,), (), ["2"]),
        ((f"{NAME}/1",), (), ["1"]),
        ((f"{NAME}/1",), (2,), ["1"]),
        ((f"{NAME}/1", NAME), (2,), ["1", "2"]),
    ],
)
def test_names_and_needs_say_what_is_served(store, workers, names, needed, served):
    backbones, _ = held(store, workers, *names, grace_s=0.0)
    backbones.follow(lambda: {ref(store, version) for version in needed})
    backbones.start()
    for _ in range(2):
        asyncio.run(backbones.refresh())
    assert versions(backbones) == served


def test_what_cannot_be_had_says_why(store, workers):
    backbones, loads = held(store, workers)
    missing = BackboneRef(name="gone", version=3, digest="a" * 64)
    with pytest.raises(BackboneMismatchError, match=r"head 'h' needs backbone gone/3 with digest aaaa"):
        backbones.need("h", missing)
    model = store / "backbones" / NAME / "1" / "model.onnx"
    whole = model.read_bytes()
    model.write_bytes(whole[:-5])
    for _ in range(2):  # it is read again when its files change, and not before
        with pytest.raises(ModelInvalidError, match="digest"):
            backbones.need("h", ref(store, 1))
    assert loads == [1]
    model.write_bytes(whole)
    (model.parent / "manifest.json").touch()
    backbones.need("h", ref(store, 1))
    assert versions(backbones) == ["1"]


def test_names_that_cannot_be_stop_the_start(store, workers):
    with pytest.raises(ConfigurationError, match="NAME or NAME/VERSION"):
        Named.parse("lite/x")
    backbones, _ = held(store, workers, "unknown")
    with pytest.raises(NotFoundError, match="unknown"):
        backbones.start()


def test_a_start_with_damaged_backbones_alone_is_refused(store, workers):
    shutil.rmtree(store / "backbones" / NAME / "2")
    (store / "backbones" / NAME / "1" / "model.onnx").write_bytes(b"x")
    backbones, _ = held(store, workers)
    backbones.follow(lambda: {BackboneRef(name=NAME, version=1, digest=ref(store, 1).digest)})
    with pytest.raises(ModelInvalidError):
        backbones.start()


async def test_one_that_is_asked_for_before_it_was_seen_is_looked_for(store, workers, photos):
    backbones, loads = held(store, workers)
    backbones.follow(lambda: {ref(store, 2)})
    request = FeatureRequest(
        photos[0].read_bytes(), PreprocessSpec(), ("pooled",), backbone_digest=ref(store, 2).digest
    )
    found = await asyncio.gather(*(backbones.extract(request, 30) for _ in range(3)))
    assert {each.backbone_digest for each in found} == {ref(store, 2).digest}
    assert loads == [2]
    with pytest.raises(BackboneMismatchError, match="which is not served"):
        await backbones.extract(FeatureRequest(b"", PreprocessSpec(), ("pooled",), backbone_digest="f" * 64), 30)


async def test_passes_of_one_call_on_two_backbones_decode_once(store, workers, photos, monkeypatch):
    backbones, _ = held(store, workers)
    backbones.follow(lambda: {ref(store, 1), ref(store, 2)})
    backbones.start()
    decoded: list[PreprocessSpec] = []
    preprocess = engine_module.preprocess

    def counted(image, spec):
        decoded.append(spec)
        return preprocess(image, spec)

    monkeypatch.setattr(engine_module, "preprocess", counted)
    asked = [
        FeatureRequest(photos[0].read_bytes(), PreprocessSpec(), ("pooled",), backbone_digest=ref(store, v).digest)
        for v in (1, 2)
    ]
    apart = [await backbones.extract(each, 30) for each in asked]
    assert len(decoded) == 2
    shared = SharedPicture([PreprocessSpec()])
    together = [FeatureRequest(**{**vars(each), "shared": shared}) for each in asked]
    found = await asyncio.gather(*(backbones.extract(each, 30) for each in together))
    assert len(decoded) == 3
    for one, other in zip(apart, found, strict=True):
        assert one.arrays["pooled"].tobytes() == other.arrays["pooled"].tobytes()


def test_a_thread_that_finds_another_decoding_does_not_wait_for_it():
    spec, other = PreprocessSpec(), PreprocessSpec(width=256)
    shared, begun, go_on = SharedPicture([spec]), threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        assert go_on.wait(10)
        return "slow"

    thread = threading.Thread(target=shared.decoded, args=(spec, slow))
    thread.start()
    assert begun.wait(10)
    assert shared.decoded(spec, lambda: "own") == "own"
    go_on.set()
    thread.join()
    assert shared.decoded(spec, lambda: "another") == "slow"
    for answer in ("a", "b"):  # nobody else needs this spec, so nothing is kept
        assert shared.decoded(other, lambda answer=answer: answer) == answer


async def test_several_passes_hash_their_picture_once(store, workers, photos, monkeypatch):
    backbones, _ = held(store, workers)
    backbones.follow(lambda: {ref(store, 1)})
    backbones.start()
    hashed: list[int] = []
    compute = cache_module._hash

    def counted(image: bytes) -> bytes:
        hashed.append(len(image))
        return compute(image)

    monkeypatch.setattr(cache_module, "_hash", counted)
    cache, shared = FeatureCache(backbones, 2**20, CacheStats()), SharedPicture([])
    asked = [
        FeatureRequest(
            photos[0].read_bytes(),
            PreprocessSpec(width=width),
            ("pooled",),
            backbone_digest=ref(store, 1).digest,
            shared=shared,
        )
        for width in (224, 256)
    ]
    await asyncio.gather(*(cache.extract(each, 30) for each in asked))
    assert (len(hashed), cache.stats.misses) == (1, 2)


def test_the_needs_of_heads_follow_their_catalog_and_manifests(models, tmp_path):
    from tests.service.bundles import linked_repository

    store = linked_repository(models, tmp_path)
    needed = NeededBackbones(Repository(store))
    assert {each.label for each in needed.look()} == {f"{NAME}/1"}
    assert NeededBackbones(Repository(store), ("other",)).look() == set()
    (store / "heads" / "broken" / "1").mkdir(parents=True)
    (store / "heads" / "broken" / "1" / "manifest.json").write_text("{")
    assert len(needed.look()) == 1
