"""Every backbone that ships keeps the feature contract."""

from pathlib import Path

import numpy as np
import pytest

from trunkline.core.repository import Repository
from trunkline.serving.execution import Execution
from trunkline.serving.session import OnnxSession, load_session, widen_session

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module", params=Repository(MODELS).names("backbone"))
def bundle(request):
    return Repository(MODELS).backbone(request.param)


@pytest.fixture(scope="module")
def session(bundle) -> OnnxSession:
    return load_session(bundle)


def pictures(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (96, 320), (512, 32)])
def test_features_have_the_shapes_of_the_manifest_at_any_size(bundle, session, height, width):
    found = session.run({"image": pictures(2, height, width)})
    for feature in bundle.manifest.features:
        cells = (height // feature.stride, width // feature.stride) if feature.stride else ()
        assert found[feature.name].shape == (2, feature.channels, *cells)
        assert found[feature.name].dtype == np.float32


def test_batch_n_equals_n_times_batch_1(session):
    batch = pictures(4, 224, 224)
    together = session.run({"image": batch})
    for index in range(4):
        alone = session.run({"image": batch[index : index + 1]})
        for name, value in alone.items():
            np.testing.assert_allclose(together[name][index : index + 1], value, rtol=1e-3, atol=1e-3)


def test_no_local_path_is_left_in_the_graph(bundle):
    data = bundle.read_model()
    assert b"site-packages" not in data
    assert b".py" not in data


def test_the_default_backbone_gives_the_features_of_the_design():
    features = {
        f.name: (f.channels, f.stride) for f in Repository(MODELS).backbone("efficientnet-lite0").manifest.features
    }
    assert features == {
        "c2": (24, 4),
        "c3": (40, 8),
        "c4": (112, 16),
        "stage5": (192, 32),
        "c5": (320, 32),
        "pooled": (1280, 0),
    }


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_a_pass_on_several_threads_gives_the_same_bits(bundle, session, threads):
    wide = load_session(bundle, Execution(wide_threads=threads))
    widen_session(wide, bundle)
    assert wide.can_be_wide
    random = np.random.default_rng(7)
    for height, width in [(224, 224), (256, 320), (416, 416)]:
        pixels = random.integers(0, 256, (1, height, width, 3), dtype=np.uint8)
        one, several = session.run({"image": pixels}), wide.run({"image": pixels}, wide=True)
        assert {name: several[name].tobytes() for name in one} == {name: one[name].tobytes() for name in one}
