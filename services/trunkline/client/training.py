"""The client of the training service, for plain code."""

# From training_aio.py, by python -m docs.generate: change that one.

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc

from trunkline.api.training.v1 import training_service_pb2 as pb
from trunkline.api.training.v1.training_service_pb2_grpc import TrainingServiceStub
from trunkline.client.answers import Evaluation
from trunkline.client.connection import DEFAULT_TARGET, Credentials, open_sync
from trunkline.client.patience import PAUSE_S, Patience
from trunkline.client.training_calls import create_request, evaluation, explained
from trunkline.core.jobs import Job, JobEvent, JobState
from trunkline.core.train_request import TrainRequest
from trunkline.serving.wire_training import event_from_pb, job_from_pb, state_to_pb

Request = TypeVar("Request")
Response = TypeVar("Response")


class TrainingClient:
    """A connection to a training service at HOST:PORT; made when it is first used. May be shared between threads.

    Every method raises ServiceError where the call fails, UnreachableError where nothing answers.
    """

    def __init__(self, target: str = DEFAULT_TARGET, credentials: Credentials | None = None) -> None:
        """credentials: those of the environment where none are given."""
        self.target = target
        self._channel = open_sync(target, credentials)
        self._training = TrainingServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. Calls in flight are cancelled."""
        self._channel.close()

    def create(self, request: TrainRequest, request_id: str = "", timeout_s: float = 30.0) -> Job:
        """Queue a job. The same `request_id` with the same request gives the same job, however often it is sent."""
        wanted = create_request(request, request_id)
        return job_from_pb(self._call(self._training.CreateTrainingJob, wanted, timeout_s).job)

    def get(self, job: str, timeout_s: float = 30.0) -> Job:
        """The job of this id. Raises ServiceError with code NOT_FOUND where there is none."""
        wanted = pb.GetTrainingJobRequest(job=job)
        return job_from_pb(self._call(self._training.GetTrainingJob, wanted, timeout_s).job)

    def list(self, states: Sequence[JobState] = (), timeout_s: float = 30.0) -> Iterator[Job]:
        """All jobs, or those in one of these states, the newest first. `timeout_s` is for each page."""
        wanted = pb.ListTrainingJobsRequest(states=map(state_to_pb, states))
        while True:
            page = self._call(self._training.ListTrainingJobs, wanted, timeout_s)
            for job in page.jobs:
                yield job_from_pb(job)
            if not page.next_page_token:
                return
            wanted.page_token = page.next_page_token

    def cancel(self, job: str, timeout_s: float = 30.0) -> Job:
        """Ask a job to stop, and return it as it is now. watch() says when it has stopped."""
        wanted = pb.CancelTrainingJobRequest(job=job)
        found = self._call(self._training.CancelTrainingJob, wanted, timeout_s)
        return job_from_pb(found.job)

    def delete(self, job: str, timeout_s: float = 30.0) -> None:
        """Remove a job that has ended, with its events; of any other, ServiceError is FAILED_PRECONDITION."""
        self._call(self._training.DeleteTrainingJob, pb.DeleteTrainingJobRequest(job=job), timeout_s)

    def watch(self, job: str, after: int = 0, patience_s: float = 60.0) -> Iterator[JobEvent]:
        """What happens to a job, after an event's sequence number, until it has ended.

        Goes on by itself where the service restarts, and raises UnreachableError where it is away for `patience_s`.
        """
        patience = Patience(self.target, patience_s, explained)
        while True:
            patience.calls()
            stream = self._training.WatchTrainingJob(pb.WatchTrainingJobRequest(job=job, after_sequence=after))
            try:
                for message in stream:
                    patience.heard()
                    after = message.sequence
                    event = event_from_pb(message)
                    if event is not None:
                        yield event
            except grpc.RpcError as error:
                patience.broke(error)
                time.sleep(PAUSE_S)
            else:
                return
            finally:
                stream.cancel()

    def wait(self, job: str, patience_s: float = 60.0) -> Job:
        """The job when it has ended, well or not."""
        for _ in self.watch(job, patience_s=patience_s):
            pass
        return self.get(job)

    def evaluate(self, head: str, data: str, split: str | None = None, timeout_s: float = 3600.0) -> Evaluation:
        """Measure the newest version of a head, on data that the service sees at this path."""
        wanted = pb.EvaluateHeadRequest(head=head, data=data, split=split)
        found = self._call(self._training.EvaluateHead, wanted, timeout_s)
        return evaluation(found)

    def _call(
        self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request, timeout_s: float
    ) -> Response:
        try:
            return method(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise explained(error, self.target, timeout_s) from None
