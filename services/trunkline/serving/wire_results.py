"""What heads answer as messages, and back."""

import functools
from typing import Any

from pydantic import ValidationError

from trunkline.api.vision.v1 import results_pb2, vision_service_pb2
from trunkline.core import tasks
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import HeadAnswer, RemoteResult
from trunkline.core.results import Comparison, Custom, Embedding, Result
from trunkline.core.task import BaseTask
from trunkline.serving.wire import params_from_pb, params_to_pb

_CUSTOM = BaseTask.field


def put_result(outcome: vision_service_pb2.HeadOutcome, result: Result) -> None:
    """Set the field of the outcome that belongs to the task of the result."""
    task = tasks.task_of_result(result)
    if task.field == _CUSTOM:
        outcome.custom.CopyFrom(params_to_pb(task.values_of(result)))
        if task.result is not Custom:
            outcome.task = task.name  # without it nobody could tell whose values these are
        return
    message = getattr(outcome, task.field)
    message.SetInParent()  # without anything in it, it is still the result
    task.fill(message, result)


def outcome_to_pb(head: str, answer: HeadAnswer) -> vision_service_pb2.HeadOutcome:
    """The answer of a head, under the name that it was asked by; one of another process is handed on as it came."""
    result = answer.result
    if isinstance(result, RemoteResult):
        outcome: vision_service_pb2.HeadOutcome = result.message
        outcome.head, outcome.head_ms = head, answer.head_ms
        return outcome
    outcome = vision_service_pb2.HeadOutcome(
        head=head, model_version=answer.version, head_ms=answer.head_ms, queue_ms=answer.queue_ms
    )
    put_result(outcome, result)
    return outcome


def remote_answer(outcome: vision_service_pb2.HeadOutcome) -> HeadAnswer | None:
    """The answer that an outcome holds, its result unread; None where it has none that is known here."""
    if outcome.WhichOneof("result") in (None, "error"):
        return None
    result = RemoteResult(outcome, functools.partial(_read, outcome))
    return HeadAnswer(result, outcome.model_version, outcome.head_ms, outcome.queue_ms)


def _read(outcome: vision_service_pb2.HeadOutcome) -> Result:
    result = get_result(outcome)
    if result is None:
        raise InvalidRequestError("an outcome without a result")
    return result


def get_result(outcome: vision_service_pb2.HeadOutcome) -> Result | None:
    """The result of an outcome; None where it holds an error instead. Raises InvalidRequestError."""
    field = outcome.WhichOneof("result")
    if field is None or field == "error":
        return None
    known = tasks.known()
    if field != _CUSTOM:
        result: Result = known.by_field[field].read(getattr(outcome, field))
        return result
    task, values = known.by_name.get(outcome.task), params_from_pb(outcome.custom)
    if task is None or task.field != _CUSTOM:
        return Custom(values)
    return _from_values(task, values)


def _from_values(task: tasks.AnyTask, values: dict[str, Any]) -> Result:
    try:
        result: Result = task.from_values(values)
    except ValidationError as error:
        raise InvalidRequestError(f"the answer is none of task {task.name}: {error.errors()[0]['msg']}") from error
    return result


def embedding_to_pb(result: Embedding) -> results_pb2.Embedding:
    message = results_pb2.Embedding()
    tasks.task_of_result(result).fill(message, result)
    return message


def embedding_from_pb(message: results_pb2.Embedding) -> Embedding:
    result: Embedding = tasks.task_answering(Embedding).read(message)
    return result


def comparison_to_pb(found: Comparison) -> results_pb2.Comparison:
    return results_pb2.Comparison(
        space=found.space,
        distance=found.distance,
        cosine_similarity=found.similarity,
        probability=found.probability,
        threshold=found.threshold,
        same=found.same,
    )


def comparison_from_pb(found: results_pb2.Comparison) -> Comparison:
    calibrated = found.HasField("probability")
    rest = (found.probability, found.threshold, found.same) if calibrated else (None, None, None)
    return Comparison(found.space, found.distance, found.cosine_similarity, *rest)
