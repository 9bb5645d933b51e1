"""What training needs to know of anomaly: nets that learn from good pictures alone, limits, scores."""

from trunkline.heads.anomaly.learn.learner import Learner

__all__ = ["Learner"]
