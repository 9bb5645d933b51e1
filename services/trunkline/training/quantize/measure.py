"""Both backbones side by side, on pictures that nothing was fitted to."""

import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.preprocess import PreprocessSpec
from trunkline.serving.session import OnnxSession, load_session
from trunkline.training.quantize.pictures import Progress, read_picture
from trunkline.training.quantize.request import Measured

_PASSES = 60
_Passes: TypeAlias = tuple[dict[str, np.ndarray], dict[str, np.ndarray]]  # exact, and in 8 bits
_VNNI = ("avx512_vnni", "avx_vnni")


def measure(
    exact: Bundle[BackboneManifest],
    session: OnnxSession,
    heads: Sequence[Bundle[HeadManifest]],
    paths: Sequence[Path],
    progress: Progress,
) -> Measured:
    """session: of the same backbone in 8 bits. Raises InvalidRequestError where no picture can be read."""
    reference, spec = load_session(exact), exact.manifest.preprocess
    classifiers = [head for head in heads if head.manifest.task == "classification"]
    cosines: dict[str, list[float]] = {name: [] for name in reference.outputs}
    same: dict[str, list[bool]] = {f"{head.manifest.name}/{head.manifest.version}": [] for head in classifiers}
    loaded = [load_session(head) for head in classifiers]
    first: np.ndarray | None = None
    for done, path in enumerate(paths, 1):
        progress("measuring", done, len(paths))
        passes: dict[str, _Passes] = {}
        picture = _pass_both(reference, session, path, spec, passes)
        if picture is None:
            continue
        first = picture if first is None else first
        want, got = passes[spec.fingerprint]
        for name, values in cosines.items():
            values.append(_cosine(want[name], got[name]))
        for head, classifier, answers in zip(classifiers, loaded, same.values(), strict=True):
            if head.manifest.preprocess.fingerprint not in passes:
                _pass_both(reference, session, path, head.manifest.preprocess, passes)
            answers.append(_same_answer(head, classifier, passes[head.manifest.preprocess.fingerprint]))
    if first is None:
        raise InvalidRequestError("none of the pictures held back for measuring can be read")
    return Measured(
        pictures=len(next(iter(cosines.values()))),
        cosines={name: float(np.mean(values)) for name, values in cosines.items()},
        answers={name: float(np.mean(values)) for name, values in same.items()},
        speed=_speed(reference, session, first),
        vnni=has_vnni(),
        sizes=(exact.model_path.stat().st_size, 0),
    )


def has_vnni() -> bool:
    """Whether this processor adds products of 8 bits in one step."""
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return False
    return any(flag in words for flag in _VNNI)


def _pass_both(
    reference: OnnxSession,
    session: OnnxSession,
    path: Path,
    spec: PreprocessSpec,
    passes: dict[str, _Passes],
) -> np.ndarray | None:
    picture = read_picture(path, spec)
    if picture is not None:
        passes[spec.fingerprint] = (reference.run({IMAGE: picture}), session.run({IMAGE: picture}))
    return picture


def _cosine(want: np.ndarray, found: np.ndarray) -> float:
    one, other = want.ravel().astype(np.float64), found.ravel().astype(np.float64)
    scale = float(np.linalg.norm(one)) * float(np.linalg.norm(other))
    return float(one @ other) / max(scale, 1e-12)


def _same_answer(
    head: Bundle[HeadManifest],
    classifier: OnnxSession,
    passes: _Passes,
) -> bool:
    best = []
    for features in passes:
        inputs = {name: features[name] for name in head.manifest.features}
        best.append(int(classifier.run(inputs, classifier.outputs[:1])[classifier.outputs[0]].argmax()))
    return best[0] == best[1]


def _speed(reference: OnnxSession, session: OnnxSession, picture: np.ndarray) -> float:
    """Passes in turn, so that what else runs slows both. By CPU time of this thread, on which both run."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(_PASSES):
        for each, times in zip((reference, session), taken, strict=True):
            began = time.thread_time()
            each.run({IMAGE: picture})
            times.append(time.thread_time() - began)
    return statistics.median(taken[0]) / statistics.median(taken[1])
