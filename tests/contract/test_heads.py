"""One suite over every task and every head that ships."""

from pathlib import Path

import numpy as np
import pytest

from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import Frame
from trunkline.core.repository import Repository
from trunkline.core.results import Result
from trunkline.core.tasks import task_names
from trunkline.heads.discovery import head_class
from trunkline.serving.session import load_session

MODELS = Path(__file__).parents[2] / "models"
HEADS = Repository(MODELS).names("head")
FRAME = Frame(640, 480, 640 / 224, 0.0, 480 / 224, 0.0, 224, 224)


@pytest.mark.parametrize("task", task_names())
def test_a_task_folder_holds_what_it_must(task):
    cls = head_class(task)
    folder = Path(__file__).parents[2] / "services/trunkline/heads" / task
    assert cls.task == task
    assert (folder / "README.md").is_file()
    assert list(folder.glob("test_*.py"))


@pytest.mark.parametrize("name", HEADS)
def test_a_shipped_head_is_complete(name):
    bundle = Repository(MODELS).head(name)
    backbone = Repository(MODELS).backbone(bundle.manifest.backbone.name, bundle.manifest.backbone.version)
    assert bundle.manifest.backbone.digest == backbone.manifest.digest
    assert bundle.manifest.origin.licence
    assert (bundle.path / "CARD.md").is_file()


@pytest.mark.parametrize("name", HEADS)
def test_batch_n_equals_n_times_batch_1(name):
    bundle = Repository(MODELS).head(name)
    session = load_session(bundle)
    golden, _ = bundle.read_golden()
    rng = np.random.default_rng(0)
    batch = {key: varied(value, rng) for key, value in golden.items()}  # (5, ...)
    if bundle.manifest.task == "detection":  # another number of rows for each picture: the graph takes one alone
        with pytest.raises(InvalidRequestError):
            session.run(batch)
        return
    together = session.run(batch)
    for index in range(5):
        alone = session.run({key: value[index : index + 1] for key, value in batch.items()})
        for key, value in alone.items():
            np.testing.assert_allclose(together[key][index : index + 1], value, rtol=1e-4, atol=1e-4)


def varied(value: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(1, ...) -> (5, ...): the golden input five times, each a little different."""
    factors = rng.uniform(0.7, 1.3, (5,) + (1,) * (value.ndim - 1))
    return np.asarray(value * factors).clip(0, 255 if value.dtype == np.uint8 else None).astype(value.dtype)


@pytest.mark.parametrize("name", HEADS)
def test_a_shipped_head_decodes_its_golden_outputs(name):
    bundle = Repository(MODELS).head(name)
    _, outputs = bundle.read_golden()
    decoder = head_class(bundle.manifest.task)(bundle)
    result: Result = decoder.decode(outputs, FRAME, {})
    assert result == decoder.decode(outputs, FRAME, {})
