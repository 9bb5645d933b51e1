"""All hostile cases, by their kinds."""

from benchmarks.hostile.case import Case
from benchmarks.hostile.cases import broken, galleries, http, messages, pictures, tensors, training, transport

CASES: tuple[Case, ...] = (
    *transport.CASES,
    *messages.CASES,
    *pictures.CASES,
    *http.CASES,
    *training.CASES,
    *galleries.CASES,
    *tensors.CASES,
    *broken.CASES,
)
