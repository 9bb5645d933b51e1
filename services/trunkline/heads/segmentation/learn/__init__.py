"""What training needs to know of segmentation: nets on maps and on pixels, losses, metric, scores."""

from trunkline.heads.segmentation.learn.learner import Learner

__all__ = ["Learner"]
