"""What a head is worth, through the serving path: ONNX Runtime and the head's own decode, never torch."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.catalog import current_catalog
from trunkline.core.cpu import available_cores
from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import Pixels, preprocess
from trunkline.core.repository import Repository
from trunkline.core.results import Result
from trunkline.core.text import shown
from trunkline.heads.discovery import head_class
from trunkline.serving.session import load_session
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.measuring import HeadFacts, Splits, measured

if TYPE_CHECKING:
    from trunkline.heads.learner import Scores, TaskLearner

_LONGEST_VERSION = 18


def answers(
    head: Bundle[HeadManifest],
    backbone: Bundle[BackboneManifest],
    samples: Sequence[Sample],
    progress: Callable[[int, int], None],
    params: Mapping[str, Any] | None = None,
    changed: Callable[[Sample, Pixels], Pixels] | None = None,
) -> list[Result]:
    """Ask the head about every sample, as the service would. params: of the requests, where they need some.

    changed: the pixels of a sample, uint8 (1, H, W, C), as the model is to see them.

    Raises InvalidRequestError without samples, DataInvalidError that names a broken picture.
    """
    if not samples:
        raise InvalidRequestError("there is nothing to evaluate on: the data has no picture of that split")
    sessions, decoder = (load_session(backbone), load_session(head)), head_class(head.manifest.task)(head)
    wanted = [name for name in head.manifest.features if name != IMAGE]

    def answer(sample: Sample) -> Result:
        try:
            pixels, frame = preprocess(EncodedImage(sample.encoded()), head.manifest.preprocess)
        except InvalidRequestError as error:
            raise DataInvalidError.at(sample.name, error.message) from error
        if changed is not None:
            pixels = changed(sample, pixels)
        features = sessions[0].run({IMAGE: pixels}, wanted) if wanted else {}
        inputs = {name: {**features, IMAGE: pixels}[name] for name in head.manifest.features}
        return decoder.decode(sessions[1].run(inputs), frame, params or {})

    found = []
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            for done, result in enumerate(pool.map(answer, samples), 1):
                found.append(result)
                progress(done, len(samples))
        finally:
            pool.shutdown(cancel_futures=True)
    return found


def evaluate_head(
    models: Path,
    name: str,
    data: Path,
    split: Splits,
    progress: Callable[[int, int], None],
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A head, NAME for its default version or NAME/VERSION, on one split of the data, or several together.

    names: what the data calls classes of the head, by class.
    The split is "test" by default, and all there is where the data has one split or none. What is broken is left out.
    Returns head, version, data, count and metrics, and the number of remarks on the data where there are any. Raises
    NotFoundError for the head, InvalidRequestError where its classes or targets are not those of the data,
    DataInvalidError, DataForbiddenError, ModelInvalidError.
    """
    repository = Repository(models)
    head = named_head(repository, name)
    backbone = repository.backbone(head.manifest.backbone.name, head.manifest.backbone.version)

    def ask(samples: Sequence[Sample], params: Mapping[str, Any] | None) -> Sequence[Result]:
        return answers(head, backbone, samples, progress, params)

    return measured(facts_of(head), data, split, ask, names)


def facts_of(head: Bundle[HeadManifest]) -> HeadFacts:
    """What is known of a head that is measured."""
    targets = head.manifest.settings.get("targets", [])
    return HeadFacts(
        head.manifest.name,
        str(head.manifest.version),
        head.manifest.task,
        head.labels,
        targets=tuple(each["name"] for each in targets),
        units=tuple(each["unit"] for each in targets),
        angles=tuple(each["kind"] == "angle" for each in targets),
        settings=head.manifest.settings,
    )


def scored(
    learner: "TaskLearner",
    head: Bundle[HeadManifest],
    backbone: Bundle[BackboneManifest],
    samples: Sequence[Sample],
    progress: Callable[[int, int], None],
    dataset: Dataset,
) -> "Scores":
    """The scores of a head on these samples of a data set."""
    params = learner.params()
    return learner.scores_in(lambda asked: answers(head, backbone, asked, progress, params), samples, dataset)


def named_head(repository: Repository, head: str) -> Bundle[HeadManifest]:
    """Of NAME, the default version, or NAME/VERSION. Raises NotFoundError, InvalidRequestError for no version."""
    return repository.head(*_versioned(repository.root, head))


def _versioned(models: Path, head: str) -> tuple[str, int | None]:
    name, slash, version = head.partition("/")
    if not slash:
        return name, current_catalog(models, name).default or None
    if not (version.isdecimal() and len(version) <= _LONGEST_VERSION):
        raise InvalidRequestError(f"{shown(version)!r} is not a version: write NAME or NAME/VERSION")
    return name, int(version)
