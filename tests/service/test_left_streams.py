"""Callers who leave a stream that changes something after its first answer: its line in the record harms nobody."""

from trunkline.cli.local_service import LocalService
from trunkline.client import GalleryImage
from trunkline.core.results import Embedding

_TIMES = 600  # while the record asked for the address of a call that had ended, a process died in the first hundred


def test_streams_that_are_left_after_their_first_answer_end_no_process(models, tmp_path):
    settings = {
        "TRUNKLINE_HEADS": "pets",
        "TRUNKLINE_GALLERY_DATABASE": f"sqlite:///{tmp_path}/galleries.db",
        "TRUNKLINE_GALLERY_INDEX": str(tmp_path / "index"),
    }
    with LocalService(str(models), settings) as service:
        with service.galleries() as galleries:
            made = galleries.create("left", head="pets")
            image = GalleryImage(Embedding(made.space, (1.0,) * made.dimension, None), "line\n", "")
            for _ in range(_TIMES):
                answer = next(iter(galleries.add("left", [image])))
                assert answer.error is not None
                assert answer.error.code == "INVALID_ARGUMENT"
        assert service.stop() == 0
