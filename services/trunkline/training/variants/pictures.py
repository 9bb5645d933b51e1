"""Pictures without labels, under both specs: to adapt a head on, and to see whether it answers the same."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.cpu import available_cores
from trunkline.core.errors import DataInvalidError, InvalidRequestError, TrunklineError
from trunkline.core.exchange import IMAGE
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import PreprocessSpec, preprocess
from trunkline.core.results import Classification
from trunkline.core.variants import Agreement
from trunkline.serving.session import OnnxSession, load_session
from trunkline.training.data.dataset import Sample
from trunkline.training.evaluation import answers

Progress = Callable[[str, int, int], None]
_FITTED = 0.75  # of the pictures, where a head is adapted


@dataclass(frozen=True)
class Pictures:
    """fitting: to adapt on. judging: those that nothing is fitted to."""

    fitting: Sequence[Path]
    judging: Sequence[Path]


def shared_out(adapt: Sequence[Path], others: Sequence[Path], *, compared: bool) -> Pictures:
    """Each picture once, by its bytes, so that no copy is on both sides; the same each time.

    compared: whether answers are, for which a part of those to adapt on is held back.
    """
    once = _by_digest(adapt)
    digests = sorted(once)
    random.Random(0).shuffle(digests)
    count = int(_FITTED * len(digests)) if compared else len(digests)
    fitting = {digest: once[digest] for digest in digests[:count]}
    judging = {**{digest: once[digest] for digest in digests[count:]}, **_by_digest(others)}
    return Pictures(list(fitting.values()), [path for digest, path in judging.items() if digest not in fitting])


def _by_digest(paths: Sequence[Path]) -> dict[str, Path]:
    return {sha256(path.read_bytes()).hexdigest(): path for path in sorted(paths)}


def pooled_under(
    specs: Sequence[PreprocessSpec],
    feature: str,
    backbone: Bundle[BackboneManifest],
    paths: Sequence[Path],
    progress: Progress,
) -> list[np.ndarray]:
    """A vector of the backbone about each picture, under each spec, float32 (N, D) each; what is none is left out."""
    session, rows = load_session(backbone), []
    for done, row in enumerate(_each(lambda path: _vectors(session, feature, path, specs), paths), 1):
        rows += [] if row is None else [row]
        progress("pictures", done, len(paths))
    if not rows:
        raise InvalidRequestError("none of the pictures can be read: look at them with: trunkline classify")
    return [np.concatenate(column) for column in zip(*rows, strict=True)]


def agreement(
    head: Bundle[HeadManifest],
    variant: Bundle[HeadManifest],
    backbone: Bundle[BackboneManifest],
    paths: Sequence[Path],
    named: str,
    progress: Progress,
) -> Agreement:
    """On how many pictures the best class is the same, through the serving path.

    Raises InvalidRequestError for a head that does not answer with classes, or where no picture can be read.
    """
    spec = variant.manifest.preprocess
    samples = [Sample(str(path), "", None, (), path.read_bytes) for path in paths if _is_picture(path, spec)]
    if not samples:
        raise InvalidRequestError("none of the pictures can be read: look at them with: trunkline classify")
    both = [
        [_best(each) for each in answers(bundle, backbone, samples, lambda done, of: progress("answers", done, of))]
        for bundle in (head, variant)
    ]
    same = sum(one == other for one, other in zip(*both, strict=True))
    return Agreement(share=same / len(samples), count=len(samples), data=named)


def _best(answer: object) -> int:
    """-1 where the head says that none of its classes is there."""
    if not isinstance(answer, Classification):
        raise InvalidRequestError("whether a head answers the same can be told of classification alone")
    return answer.labels[0].index if answer.labels else -1


def _is_picture(path: Path, spec: PreprocessSpec) -> bool:
    try:
        preprocess(EncodedImage(path.read_bytes()), spec)
    except (OSError, TrunklineError):
        return False
    return True


def _vectors(
    session: OnnxSession, feature: str, path: Path, specs: Sequence[PreprocessSpec]
) -> list[np.ndarray] | None:
    """(1, D) for each spec; None where it is no picture that the service would take."""
    try:
        data = path.read_bytes()
        each = (preprocess(EncodedImage(data), spec)[0] for spec in specs)
        return [session.run({IMAGE: pixels}, [feature])[feature] for pixels in each]
    except (OSError, DataInvalidError, InvalidRequestError):
        return None


def _each(
    work: Callable[[Path], list[np.ndarray] | None], paths: Sequence[Path]
) -> Iterator[list[np.ndarray] | None]:
    with ThreadPoolExecutor(available_cores()) as pool:
        try:
            yield from pool.map(work, paths)
        finally:
            pool.shutdown(cancel_futures=True)
