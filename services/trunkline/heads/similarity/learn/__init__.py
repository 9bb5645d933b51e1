"""What training needs to know of similarity: losses, batches, answer layer, metric, scores."""

from trunkline.heads.similarity.learn.learner import Learner

__all__ = ["Learner"]
