"""TrainingService: convert, call, convert."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from trunkline.api.training.v1 import training_service_pb2 as pb
from trunkline.api.training.v1 import training_service_pb2_grpc as pb_grpc
from trunkline.core.errors import InvalidRequestError, NotFoundError, ServiceUnavailableError
from trunkline.core.jobs import Job, JobEvent
from trunkline.core.store import ModelStore
from trunkline.core.train_request import TrainRequest
from trunkline.database.threads import Threads
from trunkline.jobs.access import DataAccess, metadata_of
from trunkline.jobs.check import check_data, check_request, placed
from trunkline.jobs.evaluation import Evaluator
from trunkline.jobs.patience import Patience
from trunkline.jobs.rows import no_such_job
from trunkline.jobs.store import JobStore
from trunkline.jobs.sweep import clear
from trunkline.serving.security.callers import current_caller, finds, is_limited, no_such_head, require_scope, sees
from trunkline.serving.wire_training import event_to_pb, job_to_pb, request_from_pb, state_from_pb

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["TrainingService"].full_name
_POLL_S = 0.25
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class TrainingServicer(pb_grpc.TrainingServiceServicer):
    """models: what jobs publish into. work: folder of their checkpoints. threads: for what asks the database.

    changed: called when there is something for the scheduler to do. access: which data jobs and evaluations may read.
    """

    def __init__(
        self,
        store: JobStore,
        threads: Threads,
        evaluator: Evaluator,
        models: ModelStore,
        work: Path,
        changed: Callable[[], None],
        access: DataAccess,
    ) -> None:
        self._store = store
        self._threads = threads
        self._access = access
        self._patience = Patience()
        self._evaluator = evaluator
        self._models = models
        self._work = work
        self._changed = changed
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End all streams, so that who watches goes on with another process of this service."""
        self._stopping.set()

    async def CreateTrainingJob(
        self, request: pb.CreateTrainingJobRequest, context: Context
    ) -> pb.CreateTrainingJobResponse:
        if not request.request_id.isprintable():
            raise InvalidRequestError("request_id must consist of printable characters")
        asked = request_from_pb(request.request)
        wanted = placed(asked)
        require_scope(wanted.name)
        metadata = metadata_of(context)

        def check() -> None:
            self._access.require(asked, metadata)
            check_request(wanted, self._models.root)

        # A call that is repeated gets its job even where the data has gone since.
        job = await self._find(request.request_id, wanted)
        if job is None:
            await self._patience.ask("the check of the data", check, context.time_remaining())
            job = await self._threads.run(
                self._store.create, request.request_id, wanted, self._models.where, current_caller()
            )
        self._changed()
        return pb.CreateTrainingJobResponse(job=job_to_pb(job))

    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest, context: Context) -> pb.GetTrainingJobResponse:
        job = await self._threads.run(self._store.get, await self._seen(request.job))
        return pb.GetTrainingJobResponse(job=job_to_pb(job))

    async def ListTrainingJobs(
        self, request: pb.ListTrainingJobsRequest, context: Context
    ) -> pb.ListTrainingJobsResponse:
        states = [state_from_pb(state) for state in request.states]
        jobs, token = await self._threads.run(self._store.page, states, request.page_size, request.page_token)
        seen = [job for job in jobs if sees(job.request.name)]
        return pb.ListTrainingJobsResponse(jobs=map(job_to_pb, seen), next_page_token=token)

    async def CancelTrainingJob(
        self, request: pb.CancelTrainingJobRequest, context: Context
    ) -> pb.CancelTrainingJobResponse:
        job = await self._threads.run(self._store.cancel, await self._seen(request.job))
        self._changed()
        return pb.CancelTrainingJobResponse(job=job_to_pb(job))

    async def DeleteTrainingJob(
        self, request: pb.DeleteTrainingJobRequest, context: Context
    ) -> pb.DeleteTrainingJobResponse:
        name = await self._seen(request.job)
        await self._threads.run(self._store.delete, name, partial(clear, self._work))
        return pb.DeleteTrainingJobResponse()

    async def WatchTrainingJob(
        self, request: pb.WatchTrainingJobRequest, context: Context
    ) -> AsyncIterator[pb.WatchTrainingJobResponse]:
        job = await self._seen(request.job)
        if request.after_sequence < 0:
            raise InvalidRequestError(f"after_sequence is {request.after_sequence}; it must not be negative")
        async for event in self._watch(job, request.after_sequence):
            yield event_to_pb(event)

    async def EvaluateHead(self, request: pb.EvaluateHeadRequest, context: Context) -> pb.EvaluateHeadResponse:
        if not request.head:
            raise InvalidRequestError("name a head to evaluate")
        if not finds(request.head.partition("/")[0].partition("@")[0]):
            raise no_such_head(request.head)
        metadata = metadata_of(context)

        def check() -> None:
            self._access.roots(metadata).require(request.data)
            check_data(request.data)

        await self._patience.ask("the check of the data", check, context.time_remaining())
        split = request.split if request.HasField("split") else None
        try:
            found = await self._evaluator.evaluate(request.head, request.data, split, context.time_remaining())
        except NotFoundError:
            if is_limited():
                raise no_such_head(request.head) from None
            raise
        return pb.EvaluateHeadResponse(**found)

    async def _seen(self, name: str) -> str:
        """The id itself. Raises NotFoundError for a job of a head that the caller does not see."""
        job = _named(name)
        if is_limited() and not finds((await self._threads.run(self._store.get, job)).request.name):
            raise no_such_job(name)
        return job

    async def _find(self, request_id: str, wanted: TrainRequest) -> Job | None:
        return await self._threads.run(self._store.find, request_id, wanted) if request_id else None

    async def _watch(self, job: str, after: int) -> AsyncIterator[JobEvent]:
        while True:
            events, ended = await self._threads.run(self._store.events, job, after)
            for event in events:
                yield event
                after = event.sequence
            if ended:
                return
            if self._stopping.is_set():
                raise ServiceUnavailableError(
                    f"the training service stops: watch again with after_sequence {after}", after_sequence=after
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _POLL_S)


def _named(job: str) -> str:
    if not job:
        raise InvalidRequestError("name a job; ListTrainingJobs lists them")
    if not job.isprintable():
        raise no_such_job(job)
    return job
