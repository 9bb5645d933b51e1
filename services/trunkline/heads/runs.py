"""Runs of a head's model: on one core, or on all where the head is slow and alone."""

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from trunkline.core.bundle import Bundle
from trunkline.serving.cores import Cores, Meetings
from trunkline.serving.execution import Execution
from trunkline.serving.session import OnnxSession, widen_session
from trunkline.serving.wide_choice import WideChoice

SLOW_S = 0.01  # a run; quicker heads are not worth a second session


class Runs:
    """The session of a bundle, and a second one with several threads once a run was slow."""

    def __init__(self, session: OnnxSession, bundle: Bundle[Any], execution: Execution) -> None:
        self._session, self._bundle = session, bundle
        self._may_be_wide = execution.wide_threads > 1 and not session.device
        self._wide_choice, self._meetings = WideChoice(), Meetings()
        self._first = threading.Lock()  # held for good by who starts the widening

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Shapes by name."""
        return self._session.inputs

    def run(self, inputs: Mapping[str, np.ndarray], cores: Cores | None = None) -> Mapping[str, np.ndarray]:
        """Outputs by name, the same bits either way. Raises InvalidRequestError for inputs that do not fit."""
        if cores is None or not self._may_be_wide:
            return self._session.run(inputs)
        if not self._session.can_be_wide:
            started_at = time.perf_counter()
            found = self._session.run(inputs)
            if time.perf_counter() - started_at > SLOW_S and self._first.acquire(blocking=False):
                self._begin_to_widen()
            return found
        with cores.all_cores(wanted=self._wide_choice.choose(), meetings=self._meetings) as wide:
            started_at = time.perf_counter()
            found = self._session.run(inputs, wide=wide)
            self._wide_choice.ran(wide=wide, took_s=time.perf_counter() - started_at, pixels=1)
        return found

    def _begin_to_widen(self) -> None:
        # Never a daemon, as the worker that begins it is: one that is in native code while an interpreter ends aborts
        # the process.
        work = (self._session, self._bundle)
        threading.Thread(target=widen_session, args=work, name="widen", daemon=False).start()
