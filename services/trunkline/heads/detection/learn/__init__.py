"""What training needs to know of detection: nets on maps, their truth and losses, metric, scores."""

from trunkline.heads.detection.learn.learner import Learner

__all__ = ["Learner"]
