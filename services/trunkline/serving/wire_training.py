"""Training jobs as messages, and the other way round."""

from datetime import datetime

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.api.training.v1 import request_pb2
from trunkline.api.training.v1 import training_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.core.jobs import Job, JobError, JobEvent, JobProgress, JobState, StateChange
from trunkline.core.progress import Epoch
from trunkline.core.train_request import TrainRequest, parse_request
from trunkline.serving.wire import time_from_pb

_PREFIX = "TRAINING_JOB_STATE_"


def request_to_pb(request: TrainRequest) -> request_pb2.TrainingRequest:
    fields = request.model_dump(mode="json", exclude_none=True)
    return json_format.ParseDict(fields, request_pb2.TrainingRequest())


def request_from_pb(message: request_pb2.TrainingRequest) -> TrainRequest:
    """What is not set takes its default. Raises InvalidRequestError that names the field."""
    fields = json_format.MessageToDict(message, preserving_proto_field_name=True)
    for name in ("name", "data"):
        if not fields.get(name):
            raise InvalidRequestError(f"{name}: the request has none")
    return parse_request(fields)


def state_to_pb(state: JobState) -> "pb.TrainingJobState.ValueType":
    return pb.TrainingJobState.Value(_PREFIX + state.value)


def state_from_pb(state: "pb.TrainingJobState.ValueType") -> JobState:
    """Raises InvalidRequestError for what is no state."""
    try:
        return JobState(pb.TrainingJobState.Name(state).removeprefix(_PREFIX))
    except ValueError as error:
        raise InvalidRequestError(f"{state} is no state of a job") from error


def job_to_pb(job: Job) -> pb.TrainingJob:
    return pb.TrainingJob(
        id=job.id,
        request=request_to_pb(job.request),
        state=state_to_pb(job.state),
        progress=progress_to_pb(job.progress) if job.progress else None,
        attempt=job.attempt,
        metrics=job.metrics,
        model_version=job.model_version,
        error=pb.TrainingError(**vars(job.error)) if job.error else None,
        create_time=_time_to_pb(job.created_at),
        start_time=_time_to_pb(job.started_at),
        end_time=_time_to_pb(job.ended_at),
        cancel_requested=job.cancel_requested,
        last_sequence=job.last_sequence,
    )


def job_from_pb(job: pb.TrainingJob) -> Job:
    return Job(
        id=job.id,
        request=request_from_pb(job.request),
        state=state_from_pb(job.state),
        progress=progress_from_pb(job.progress) if job.HasField("progress") else None,
        attempt=job.attempt,
        metrics=dict(job.metrics),
        model_version=job.model_version,
        error=_error_from_pb(job.error) if job.HasField("error") else None,
        created_at=time_from_pb(job.create_time),
        started_at=time_from_pb(job.start_time) if job.HasField("start_time") else None,
        ended_at=time_from_pb(job.end_time) if job.HasField("end_time") else None,
        cancel_requested=job.cancel_requested,
        last_sequence=job.last_sequence,
    )


def progress_to_pb(progress: JobProgress) -> pb.TrainingProgress:
    return pb.TrainingProgress(
        stage=progress.stage,
        done=progress.done,
        total=progress.total,
        epoch=epoch_to_pb(progress.epoch) if progress.epoch else None,
        time_left_s=progress.time_left_s,
        remarks=progress.remarks,
        left_out=progress.left_out,
    )


def progress_from_pb(progress: pb.TrainingProgress) -> JobProgress:
    return JobProgress(
        progress.stage,
        progress.done,
        progress.total,
        epoch_from_pb(progress.epoch) if progress.HasField("epoch") else None,
        progress.time_left_s if progress.HasField("time_left_s") else None,
        progress.remarks,
        progress.left_out,
    )


def epoch_to_pb(epoch: Epoch) -> pb.TrainingEpoch:
    return pb.TrainingEpoch(**vars(epoch))


def epoch_from_pb(epoch: pb.TrainingEpoch) -> Epoch:
    return Epoch(
        number=epoch.number,
        of=epoch.of,
        train_loss=epoch.train_loss,
        validation_loss=epoch.validation_loss if epoch.HasField("validation_loss") else None,
        validation_metric=epoch.validation_metric if epoch.HasField("validation_metric") else None,
        metric=epoch.metric,
    )


def event_to_pb(event: JobEvent) -> pb.WatchTrainingJobResponse:
    message = pb.WatchTrainingJobResponse(sequence=event.sequence, time=_time_to_pb(event.at))
    match event.what:
        case StateChange(state, attempt, note):
            message.state.CopyFrom(pb.TrainingStateChange(state=state_to_pb(state), attempt=attempt, note=note))
        case JobProgress():
            message.progress.CopyFrom(progress_to_pb(event.what))
        case Epoch():
            message.epoch.CopyFrom(epoch_to_pb(event.what))
    return message


def event_from_pb(message: pb.WatchTrainingJobResponse) -> JobEvent | None:
    """None for a kind of event that is not known here, from a newer service."""
    what: StateChange | JobProgress | Epoch
    match message.WhichOneof("event"):
        case "state":
            what = StateChange(state_from_pb(message.state.state), message.state.attempt, message.state.note)
        case "progress":
            what = progress_from_pb(message.progress)
        case "epoch":
            what = epoch_from_pb(message.epoch)
        case _:
            return None
    return JobEvent(message.sequence, time_from_pb(message.time), what)


def _error_from_pb(error: pb.TrainingError) -> JobError:
    return JobError(error.code, error.reason, error.message, dict(error.metadata))


def _time_to_pb(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
