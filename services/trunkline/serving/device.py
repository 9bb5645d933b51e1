"""Features that stay on the device between backbone and heads."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(float)": np.dtype(np.float32),
    "tensor(int64)": np.dtype(np.int64),
}


class DeviceTensor:
    """An output of a run where the provider left it, or one row of it: (N, …), or (1, …) with a row."""

    def __init__(self, value: Any, row: int | None = None) -> None:
        """`value` is an onnxruntime.OrtValue, contiguous."""
        self._value = value
        self._row = row
        self.dtype: np.dtype[Any] = _DTYPES[value.data_type()]
        whole = tuple(value.shape())
        self.shape: tuple[int, ...] = whole if row is None else (1, *whole[1:])

    def rows(self) -> "list[DeviceTensor]":
        """(N, …) -> N times (1, …), views without a copy."""
        return [DeviceTensor(self._value, row) for row in range(self.shape[0])]

    def bind(self, binding: Any, name: str) -> None:
        """Make it an input of an onnxruntime.IOBinding. It must live until that run is over."""
        if self._row is None:
            binding.bind_ortvalue_input(name, self._value)
            return
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape))
        start = self._value.data_ptr() + self._row * row_bytes
        binding.bind_input(name, self._value.device_name(), 0, self.dtype.type, self.shape, start)

    def numpy(self) -> np.ndarray:
        """A copy on the host."""
        host: np.ndarray = self._value.numpy()
        return host if self._row is None else host[self._row : self._row + 1]


class DeviceArrays(Mapping[str, np.ndarray]):
    """Arrays by name, some of them on a device: reading one copies it to the host, a session binds it in place."""

    def __init__(self, tensors: Mapping[str, np.ndarray | DeviceTensor]) -> None:
        self.tensors = dict(tensors)

    def __getitem__(self, name: str) -> np.ndarray:
        value = self.tensors[name]
        return value.numpy() if isinstance(value, DeviceTensor) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def __contains__(self, name: object) -> bool:
        return name in self.tensors  # the inherited one would copy

    def select(self, names: Sequence[str]) -> "DeviceArrays":
        """Those of these names, where they are. Raises KeyError."""
        return DeviceArrays({name: self.tensors[name] for name in names})

    def merged(self, arrays: Mapping[str, np.ndarray]) -> "DeviceArrays":
        """With these arrays of the host besides."""
        return DeviceArrays({**self.tensors, **arrays})


def row_of(arrays: Mapping[str, np.ndarray], index: int) -> Mapping[str, np.ndarray]:
    """One picture of a batch: (N, …) -> (1, …). Views on a device; copies on the host, where one would keep all."""
    if not isinstance(arrays, DeviceArrays):
        return {name: array[index : index + 1].copy() for name, array in arrays.items()}
    return DeviceArrays(
        {
            name: value.rows()[index] if isinstance(value, DeviceTensor) else value[index : index + 1].copy()
            for name, value in arrays.tensors.items()
        }
    )
