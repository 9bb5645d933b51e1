"""ONNX Runtime sessions: safe to share between threads, on the provider asked for, checked before they serve."""

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError, ModelInvalidError, TrunklineError
from trunkline.core.text import shown
from trunkline.serving.device import DeviceArrays, DeviceTensor
from trunkline.serving.execution import CPU, Execution, device_of, preload_libraries
from trunkline.serving.memory import give_back_freed

GOLDEN_RUN_S = 60.0  # the longest that a model may compute its golden outputs; the slowest that are known take 2 s
_GOLDEN_TOLERANCE = 1e-3  # relative to the largest golden value, at least to 1
_SHOWN = 200  # characters of what ONNX Runtime says
_ORT_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_FATAL = 4  # severity of ONNX Runtime's log
_sharing, _shared = threading.Lock(), threading.Event()
_log = logging.getLogger(__name__)


class OnnxSession:
    """A loaded ONNX file.

    On the CPU a run uses one thread: a shared session with as many callers as cores has the highest throughput, and
    threads never outnumber cores. After `widen` there is a second session, whose runs use several threads: for a
    caller who is alone. Both give the same numbers, bit for bit.
    """

    def __init__(self, model: bytes, name: str, execution: Execution = CPU) -> None:
        """Raises ModelInvalidError where ONNX Runtime cannot load the file, ConfigurationError for the provider."""
        self.name = name
        self._execution = execution
        self._session = _open(model, name, execution, threads=1)
        self._wide: ort.InferenceSession | None = None
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())  # the first one is used
        self.device = device_of(self.providers)
        self.inputs = {node.name: tuple(node.shape) for node in self._session.get_inputs()}
        self.outputs = tuple(node.name for node in self._session.get_outputs())
        self._dtypes = {node.name: node.type for node in self._session.get_inputs()}

    def run(
        self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None, *, wide: bool = False
    ) -> dict[str, np.ndarray]:
        """Outputs by name; all of them where none are named. `wide` uses the threads of `widen`, if there are any.

        Raises InvalidRequestError where the inputs do not fit the model in name, dtype or shape, ModelInvalidError
        where it cannot compute with them.
        """
        names = list(outputs) if outputs is not None else list(self.outputs)
        if self.device or isinstance(inputs, DeviceArrays):
            return dict(zip(names, self._bound(inputs, names, "cpu").copy_outputs_to_cpu(), strict=True))
        self._check(inputs)
        session = self._wide if wide and self._wide is not None else self._session
        try:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        except Exception as error:  # ONNX Runtime's own classes share no public base
            _log.warning("%s could not compute: %s", self.name, str(error)[:_SHOWN])
            raise ModelInvalidError(
                f"{self.name} cannot compute with these inputs: their sizes do not go together, or it is damaged"
            ) from error

    def try_run(
        self,
        inputs: Mapping[str, np.ndarray],
        outputs: Sequence[str] | None = None,
        *,
        within_s: float = GOLDEN_RUN_S,
    ) -> dict[str, np.ndarray]:
        """Like `run`, for a model that nobody has run before.

        Raises ModelInvalidError where it cannot be run, or takes longer than `within_s` seconds. Only between two of
        its operations is the time looked at.
        """
        names = list(outputs) if outputs is not None else list(self.outputs)
        self._check(inputs)
        options = ort.RunOptions()
        options.log_severity_level = _FATAL  # what went wrong is in the error
        late = threading.Event()

        def end() -> None:
            late.set()
            options.terminate = True

        watch = threading.Timer(within_s, end)
        watch.daemon = True
        watch.start()
        try:
            return dict(zip(names, self._session.run(names, dict(inputs), options), strict=True))
        except Exception as error:  # ONNX Runtime's own classes share no public base
            if late.is_set():
                reason = f"it takes longer than {within_s:g} s for its example"
            else:
                reason = f"ONNX Runtime cannot run it: {first_line(error)}"
            raise ModelInvalidError(f"{self.name}: {reason}") from error
        finally:
            watch.cancel()

    def run_in_place(
        self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], *, wide: bool = False
    ) -> Mapping[str, np.ndarray]:
        """Like `run`, but the outputs stay on the device, where there is one: as DeviceArrays."""
        return self.run_on(self.device, inputs, outputs) if self.device else self.run(inputs, outputs, wide=wide)

    def run_on(self, device: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> DeviceArrays:
        """Outputs bound to the memory of a device, such as "cuda". Raises InvalidRequestError as `run` does."""
        values = self._bound(inputs, outputs, device).get_outputs()
        return DeviceArrays({name: DeviceTensor(value) for name, value in zip(outputs, values, strict=True)})

    @property
    def can_be_wide(self) -> bool:
        return self._wide is not None

    def widen(self, model: bytes, inputs: Mapping[str, np.ndarray]) -> None:
        """Make the second session, and keep it if it computes the same from these inputs, bit for bit."""
        if self._execution.wide_threads < 2 or self.device:
            return
        session = _open(model, self.name, self._execution, self._execution.wide_threads)
        names = list(self.outputs)
        found, expected = session.run(names, dict(inputs)), self._session.run(names, dict(inputs))
        if all(one.tobytes() == other.tobytes() for one, other in zip(found, expected, strict=True)):
            self._wide = session
        else:
            _log.warning("%s gives other results with several threads: each run uses one", self.name)

    def _bound(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], device: str) -> ort.IOBinding:
        values = inputs.tensors if isinstance(inputs, DeviceArrays) else inputs
        self._check(values)
        binding = self._session.io_binding()
        for name in self.inputs:
            value = values[name]
            if isinstance(value, DeviceTensor):
                value.bind(binding, name)
            else:
                binding.bind_cpu_input(name, value)
        for name in outputs:
            binding.bind_output(name, device)
        self._session.run_with_iobinding(binding)
        return binding

    def _check(self, inputs: Mapping[str, np.ndarray | DeviceTensor] | Mapping[str, np.ndarray]) -> None:
        for name, shape in self.inputs.items():
            value = inputs.get(name)
            if value is None:
                raise InvalidRequestError(f"{self.name} needs the feature {name!r}", feature=name)
            fits = len(value.shape) == len(shape) and all(
                not isinstance(want, int) or want == got for want, got in zip(shape, value.shape, strict=True)
            )
            if not fits or _ONNX_TYPES.get(value.dtype.name) != self._dtypes[name]:
                raise InvalidRequestError(
                    f"{self.name} takes {name!r} as {self._dtypes[name]} of shape {list(shape)}, "
                    f"not {value.dtype} of {list(value.shape)}",
                    feature=name,
                )


def _open(model: bytes, name: str, execution: Execution, threads: int) -> ort.InferenceSession:
    preload_libraries(ort, execution)
    available = ort.get_available_providers()
    providers = execution.usable(available)
    try:
        session = ort.InferenceSession(model, _options(threads), providers=providers)
    except Exception as error:  # ONNX Runtime's own classes share no public base
        raise ModelInvalidError(f"{name}: ONNX Runtime cannot load the model: {first_line(error)}") from error
    # It was built with the provider, and still goes on without it where a driver or a library is not there.
    execution.check(session.get_providers(), available)
    session._model_bytes = None  # kept for a fall-back that is not wanted; as large as the weights
    return session


def _options(threads: int) -> ort.SessionOptions:
    _share_allocator()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Threads that spin on after a run take their cores from the next ones and from other processes.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return options


def _share_allocator() -> None:
    """One arena for all sessions of the process, grown by what is asked for and not by the next power of two."""
    with _sharing:
        if not _shared.is_set():
            memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
            ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"arena_extend_strategy": 1}))
            _shared.set()


_ONNX_TYPES = {
    "uint8": "tensor(uint8)",
    "float16": "tensor(float16)",
    "float32": "tensor(float)",
    "int64": "tensor(int64)",
}


def load_session(bundle: Bundle[BackboneManifest] | Bundle[HeadManifest], execution: Execution = CPU) -> OnnxSession:
    """Load a bundle's model and check it on its golden inputs, which warms it up too.

    Raises ModelInvalidError where a file is damaged or the answers are not the golden ones, ConfigurationError
    where a provider cannot be had.
    """
    name, model = f"{bundle.manifest.name}/{bundle.manifest.version}", bundle.read_model()
    inputs, expected = bundle.read_golden()
    _require_golden(name, inputs, expected)
    session = OnnxSession(model, name, execution)
    _check_golden(session, inputs, expected, _tolerance(bundle.manifest))
    return session


def check_golden(session: OnnxSession, bundle: Bundle[HeadManifest]) -> None:
    """Check a session that is loaded on the golden inputs of a bundle of its model. Raises ModelInvalidError."""
    inputs, expected = bundle.read_golden()
    _require_golden(session.name, inputs, expected)
    _check_golden(session, inputs, expected, _tolerance(bundle.manifest))


def _require_golden(name: str, inputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    if not inputs or not expected:
        raise ModelInvalidError(f"{name}: golden.npz has no inputs or no outputs")


def _check_golden(
    session: OnnxSession,
    inputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    tolerance: float,
) -> None:
    unknown = next((name for name in expected if name not in session.outputs), None)
    if unknown is not None:
        raise ModelInvalidError(f"{session.name}: golden.npz has an output {shown(unknown)!r} that the model lacks")
    found = _golden_outputs(session, inputs, list(expected))
    for name, want in expected.items():
        _compare(session.name, name, _like(found[name], want), want, tolerance)
    give_back_freed()
    _log.info("%s loaded, golden outputs %s hold", session.name, ", ".join(expected))


def first_line(error: Exception) -> str:
    """What ONNX Runtime or onnx says, which may be many lines and hold any name of the file."""
    line = _ORT_PREFIX.sub("", str(error).strip().partition("\n")[0])
    return shown(line, 300) or type(error).__name__


def _golden_outputs(
    session: OnnxSession, inputs: Mapping[str, np.ndarray], names: Sequence[str]
) -> Mapping[str, np.ndarray]:
    try:
        return session.run(inputs, names) if session.device else session.try_run(inputs, names, within_s=GOLDEN_RUN_S)
    except InvalidRequestError as error:
        raise ModelInvalidError(f"{session.name}: golden.npz does not fit the model: {error.message}") from error


def widen_session(session: OnnxSession, bundle: Bundle[Any]) -> None:
    """Give the session of this bundle its second one. What goes wrong is logged, and each run uses one thread."""
    try:
        session.widen(bundle.read_model(), bundle.read_golden()[0])
    except TrunklineError as error:
        _log.warning("%s: each run uses one thread: %s", session.name, error)
    except Exception:  # whatever it is, serving goes on without
        _log.exception("%s: each run uses one thread", session.name)
    give_back_freed()


def _like(found: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Maps are stored as their means over height and width: (N, C, H, W) -> (N, C)."""
    return found.mean(axis=(2, 3)) if found.ndim == 4 and want.ndim == 2 else found


def _tolerance(manifest: BackboneManifest | HeadManifest) -> float:
    stated = manifest.golden_tolerance if isinstance(manifest, BackboneManifest) else None
    return _GOLDEN_TOLERANCE if stated is None else stated


def _compare(model: str, name: str, found: np.ndarray, want: np.ndarray, tolerance: float) -> None:
    if found.shape != want.shape:
        raise ModelInvalidError(f"{model}: output {name!r} has shape {found.shape}, golden.npz {want.shape}")
    if not want.size:  # as where nothing is found in a picture
        return
    off = float(np.abs(found.astype(np.float64) - want).max())
    allowed = tolerance * max(1.0, float(np.abs(want).max()))
    if not off <= allowed:
        raise ModelInvalidError(
            f"{model}: output {name!r} is off its golden value by {off:.3g} (allowed {allowed:.3g}): "
            "the model or this runtime does not compute what was measured"
        )
