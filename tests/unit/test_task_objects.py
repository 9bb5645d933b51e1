"""What a task.py says of itself is what it has; which way a metric goes is said there alone."""

import pytest

from trunkline.core.evaluation import points_lost
from trunkline.core.task import BaseTask
from trunkline.core.tasks import metric_named


@pytest.mark.parametrize(("said", "lacks"), [({"field": "detections"}, "fill"), ({"saved": "maps"}, "file_of")])
def test_a_task_without_a_method_that_it_needs_is_refused_at_once(said, lacks):
    with pytest.raises(TypeError, match=f"task 'odd' needs the method {lacks} in its task.py"):
        type("Task", (BaseTask,), said)("odd")


def test_points_follow_the_metrics_of_the_tasks():
    assert points_lost({"accuracy": 0.9}, {"accuracy": 0.88}) == pytest.approx(2)
    assert points_lost({"eer": 0.10}, {"eer": 0.13}) == pytest.approx(3)
    assert points_lost({"rmse": 8.0}, {"rmse": 10.0}) == pytest.approx(25)
    assert metric_named("never heard of").higher_is_better
