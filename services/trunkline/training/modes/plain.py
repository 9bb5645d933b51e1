"""Mode `pretrained` of tasks that answer with vectors: features of the backbone as they are. Nothing is learned."""

from torch import nn

from trunkline.training.batches import VectorBatches
from trunkline.training.features import Recipe
from trunkline.training.modes.job import Fitted, Job, truths
from trunkline.training.modes.pooled import views_stored
from trunkline.training.nets.pooled import PooledNet

_FEATURES = ("pooled",)


def use_features(job: Job) -> Fitted:
    """In the backbone's own preprocessing where no other is asked for: that is what its features were learned in.

    Raises InvalidRequestError for a feature that the backbone has not, DataInvalidError for a broken picture.
    """
    widths = job.store.widths(job.request.features or _FEATURES)
    recipe = Recipe(tuple(widths), job.request.spec or job.backbone.manifest.preprocess)
    net = PooledNet(widths, nn.Identity(), 0.0).eval()
    _, truth = truths(job)
    validation = VectorBatches(views_stored(job, job.validation, recipe, 1), truth) if truth is not None else None
    note = f"{', '.join(f'`{name}`' for name in widths)} of the backbone as they are, averaged and joined."
    return Fitted(net, recipe.features, recipe.spec, [], notes=note, validation=validation)
