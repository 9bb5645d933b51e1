"""What training needs to know of keypoints: net on maps, loss, metric, scores."""

from trunkline.heads.keypoints.learn.learner import Learner

__all__ = ["Learner"]
