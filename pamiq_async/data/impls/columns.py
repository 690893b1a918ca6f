"""Fields of a ring buffer: what may be in them, and their values in raw memory."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from ..buffer import checked_size


class Column(ABC):
    """The values of one field, a row an item, in memory that is given to it.

    Attributes:
        name: of the field.
        shape: of one value.
        dtype_name: of its dtype, as states name it.
        row_bytes: how much memory a row takes.
        memory: bytes for all rows, once it is there.
        rows: the memory as an array or tensor of shape ``[max_size, *shape]``.
    """

    memory: np.ndarray
    rows: Any

    def __init__(self, name: str, shape: tuple[int, ...], dtype_name: str, item_bytes: int) -> None:
        self.name = name
        self.shape = shape
        self.dtype_name = dtype_name
        self.row_bytes = item_bytes * math.prod(shape)

    @property
    @abstractmethod
    def is_bool(self) -> bool:
        """Whether its values are booleans."""

    def place(self, memory: np.ndarray) -> None:
        """Keep the rows in `memory`, which are bytes, from now on."""
        self.memory = memory
        self.rows = self._as_rows(memory)

    @abstractmethod
    def _as_rows(self, memory: np.ndarray) -> Any:
        """Bytes as rows, in place."""

    @abstractmethod
    def one(self, value: Any) -> Any:
        """`value` as what can be written to a row.

        Raises:
            ValueError: its shape is not the field's.
            TypeError: its dtype can't become the field's, or it is no array.
        """

    @abstractmethod
    def many(self, values: Sequence[Any]) -> Any:
        """Like `one` for values of several items, with shape ``[len(values), *shape]``; may refuse what `one` takes."""

    @abstractmethod
    def batch(self, values: Any) -> Any:
        """Like `many` for values that are in one array already."""

    @abstractmethod
    def take(self, places: np.ndarray) -> Any:
        """Copies of the rows at `places`, in an array that has the shape of `places` first."""

    @abstractmethod
    def view(self, size: int) -> Any:
        """The first `size` rows, in place."""

    @abstractmethod
    def truth(self, places: np.ndarray) -> np.ndarray:
        """Whether each of these rows, of one number each, is other than zero."""

    def _misfit(self, shape: Any, expected: str) -> ValueError:
        return ValueError(f"{self.name!r} has the shape {tuple(shape)}; the buffer needs {expected}")

    def _other_dtype(self, dtype: object) -> TypeError:
        return TypeError(
            f"{self.name!r} has the dtype {dtype}, which can't become {self.dtype_name} without loss of kind; convert "
            f"it before it is collected"
        )

    def _no_array(self, value: object, error: Exception) -> TypeError:
        return TypeError(f"{self.name!r} is a {type(value).__qualname__}, of which no array can be made: {error}")


class ArrayColumn(Column):
    """A field of NumPy's."""

    rows: np.ndarray

    def __init__(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super().__init__(name, shape, dtype.str, dtype.itemsize)
        self._dtype = dtype
        self._fitting = {dtype}  # asking NumPy takes longer than writing a row
        # Of these Python types any value will do.
        self._numbers = {bool, int, float} if dtype.kind in "fc" else {bool}

    @property
    @override
    def is_bool(self) -> bool:
        return self._dtype.kind == "b"

    @override
    def _as_rows(self, memory: np.ndarray) -> np.ndarray:
        return memory.view(self._dtype).reshape(-1, *self.shape)

    @override
    def one(self, value: Any) -> Any:
        if type(value) is np.ndarray:
            if value.dtype is self._dtype and value.shape == self.shape:
                return value
        elif not self.shape and type(value) in self._numbers:
            return value
        array = self._array(value)
        if array.shape != self.shape:
            raise self._misfit(array.shape, str(self.shape))
        return array

    @override
    def many(self, values: Sequence[Any]) -> np.ndarray:
        kinds = set(map(type, values))
        if self.shape and kinds == {np.ndarray}:
            if set(map(len, values)) != {self.shape[0]}:
                raise self._misfit(values[0].shape, str(self.shape))
            array = np.concatenate(values)
            if array.dtype not in self._fitting or array.shape[1:] != self.shape[1:]:
                raise self._other_dtype(array.dtype)
            return array.reshape(-1, *self.shape)
        if not self.shape and kinds <= _NUMBERS:
            return self._array(values)
        return np.array([self.one(value) for value in values], self._dtype)

    @override
    def batch(self, values: Any) -> np.ndarray:
        array = self._array(values)
        if array.ndim == 0 or array.shape[1:] != self.shape:
            raise self._misfit(array.shape, f"(n, {', '.join(map(str, self.shape))})")
        return array

    @override
    def take(self, places: np.ndarray) -> np.ndarray:
        return self.rows.take(places, axis=0)

    @override
    def view(self, size: int) -> np.ndarray:
        view = self.rows[:size]
        view.flags.writeable = False
        return view

    @override
    def truth(self, places: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.rows.reshape(len(self.rows))[places] != 0
        return found

    def _array(self, value: Any) -> np.ndarray:
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:  # the last from tensors that need gradients
            raise self._no_array(value, error) from error
        if array.dtype in self._fitting:
            return array
        if not hasattr(value, "dtype") and array.dtype.kind in "iu" and self._dtype.kind in "iu":
            # Python's integers have no dtype, so it is their values that count.
            limits = np.iinfo(self._dtype)
            if array.size and not (limits.min <= array.min() and array.max() <= limits.max):
                raise ValueError(f"{self.name!r} is {value!r}; {self._dtype} holds {limits.min}..{limits.max}")
            return array
        if not np.can_cast(array.dtype, self._dtype, "same_kind"):
            raise self._other_dtype(array.dtype)
        if hasattr(value, "dtype"):
            self._fitting.add(array.dtype)
        return array


_NUMBERS = {bool, int, float}


class TensorColumn(Column):
    """A field of PyTorch's, on the CPU."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        super().__init__(name, shape, str(dtype), dtype.itemsize)
        self._dtype = dtype
        self._torch: Any = sys.modules["torch"]

    @property
    @override
    def is_bool(self) -> bool:
        return bool(self._dtype == self._torch.bool)

    @override
    def _as_rows(self, memory: np.ndarray) -> Any:
        return self._torch.from_numpy(memory).view(self._dtype).reshape(-1, *self.shape)

    @override
    def one(self, value: Any) -> Any:
        tensor = self._tensor(value)
        if tuple(tensor.shape) != self.shape:
            raise self._misfit(tensor.shape, str(self.shape))
        return tensor

    @override
    def many(self, values: Sequence[Any]) -> Any:
        return self._torch.stack([self.one(value).to("cpu", self._dtype) for value in values])

    @override
    def batch(self, values: Any) -> Any:
        tensor = self._tensor(values)
        if tensor.ndim == 0 or tuple(tensor.shape[1:]) != self.shape:
            raise self._misfit(tensor.shape, f"(n, {', '.join(map(str, self.shape))})")
        return tensor

    @override
    def take(self, places: np.ndarray) -> Any:
        flat = self.rows.index_select(0, self._torch.from_numpy(places.reshape(-1)))
        return flat.reshape(*places.shape, *self.shape)

    @override
    def view(self, size: int) -> Any:
        return self.rows[:size]

    @override
    def truth(self, places: np.ndarray) -> np.ndarray:
        found: np.ndarray = (self.take(places).reshape(len(places)) != 0).numpy()
        return found

    def _tensor(self, value: Any) -> Any:
        torch = self._torch
        if not isinstance(value, torch.Tensor):
            try:
                value = torch.as_tensor(value)
            except (TypeError, ValueError, RuntimeError) as error:
                raise self._no_array(value, error) from error
        if not torch.can_cast(value.dtype, self._dtype):
            raise self._other_dtype(value.dtype)
        return value.detach()


def columns(fields: Mapping[str, tuple[Any, Any]]) -> dict[str, Column]:
    """A column for each field.

    Raises:
        TypeError: a field is not a pair of shape and dtype, or its dtype is not one of numbers.
        ValueError: there are no fields, or a length is less than 1.
    """
    if not isinstance(fields, Mapping):
        raise TypeError(f"fields is a {type(fields).__qualname__}; give a mapping from names to (shape, dtype)")
    if not fields:
        raise ValueError("fields is empty; give at least one, such as {'observation': ((64,), 'float32')}")
    return {name: _column(name, field) for name, field in fields.items()}


def _column(name: str, field: Any) -> Column:
    if not isinstance(name, str):
        raise TypeError(f"a field is named {name!r}; names are str")
    if not isinstance(field, tuple) or len(field) != 2:
        raise TypeError(f"the field {name!r} is {field!r}; give a tuple of shape and dtype, such as ((64,), 'float32')")
    shape, kind = field
    lengths = shape if isinstance(shape, Sequence) and not isinstance(shape, str) else (shape,)
    shape = tuple(checked_size(f"a length in the shape of the field {name!r}", length) for length in lengths)
    torch = sys.modules.get("torch")  # not imported: then no dtype is its
    if torch is not None and isinstance(kind, torch.dtype):
        return TensorColumn(name, shape, kind)
    try:
        if kind is None:  # NumPy would take it for float64
            raise TypeError("None")
        dtype = np.dtype(kind)
    except TypeError as error:
        raise TypeError(f"the field {name!r} has the dtype {kind!r}, which is none of NumPy's or PyTorch's") from error
    if dtype.kind not in "biufc":
        raise TypeError(f"the field {name!r} has the dtype {dtype}; the buffer holds numbers and booleans alone")
    return ArrayColumn(name, shape, dtype)
