"""The float32 net behind a backbone: what tails start from."""

from trunkline.core.bundle import BackboneManifest, Bundle
from trunkline.core.errors import BackboneMismatchError, NotFoundError
from trunkline.core.repository import Repository


def exact_model(backbone: Bundle[BackboneManifest]) -> bytes:
    """The ONNX file of a backbone, or of the one that it is in 8 bits, which lies beside it.

    Raises NotFoundError where that one is not there, BackboneMismatchError where it is another.
    """
    made_from = backbone.manifest.quantized_from
    if made_from is None:
        return backbone.read_model()
    try:
        exact = Repository(backbone.path.parents[2]).backbone(made_from.name, made_from.version)
    except NotFoundError as error:
        raise NotFoundError(
            f"the tail of a head on {backbone.manifest.name} starts from {made_from.name}/{made_from.version}, "
            "which it was quantized from: put that backbone beside it"
        ) from error
    if exact.manifest.digest != made_from.digest:
        raise BackboneMismatchError.between(
            backbone.manifest.name, made_from.name, made_from.digest, exact.manifest.digest
        )
    return exact.read_model()
