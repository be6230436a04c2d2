"""How a kernel is compiled: cached on disk, without the interpreter's lock, with IEEE arithmetic.

Whatever loops over samples is decorated with it: the codec, the head, the doors, the functions of queries, the ledgers.
There is no fastmath: it would assume that NaN and infinity do not occur, and samples may be either.

numba's cache on disk sees that a kernel's own file has changed, and nothing of the kernels and numbers that the file
imports. So the stamp of a file is made here of both (`Places`): whoever changes `compensated.add`, or upgrades to where
it is another one, gets all that calls it compiled anew. For that, a file has to import the kernels that it calls, not
their module.

A kernel that comes from the cache is in memory as machine code only: numba would keep its intermediate code as well,
for other kernels to be compiled with it, which for all of them is 45 MB that hardly anybody asks for (`Loaded`).
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite.binding import parse_bitcode
from numba import config, njit
from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator, UserWideCacheLocator
from numba.core.codegen import JITCodeLibrary, JITCPUCodegen
from numba.core.dispatcher import Dispatcher

__all__ = ["Loaded", "Places", "compiled", "compiled_lean", "inlined"]

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def compiled(kernel: _Kernel) -> _Kernel:
    """`kernel`, compiled by numba at its first call or loaded from the cache."""
    return cast(_Kernel, njit(cache=True, nogil=True, error_model="numpy")(kernel))


def compiled_lean(kernel: _Kernel) -> _Kernel:
    """`compiled` for a kernel that allocates no array: it counts no references either.

    Otherwise every array costs two atomic operations each time that one kernel hands it to another, which is
    more than the work of a small one (the scan of OTLP takes half the time without).
    """
    return cast(_Kernel, njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(kernel))


def inlined(kernel: _Kernel) -> _Kernel:
    """A part of one kernel, compiled into its caller: a call costs about 10 ns per array that it passes."""
    return cast(_Kernel, njit(nogil=True, error_model="numpy", inline="always")(kernel))


class Places:
    """Where numba keeps what it compiled: its own places, and a stamp of all files that it was compiled from."""

    _ALL = (UserProvidedCacheLocator, InTreeCacheLocator, UserWideCacheLocator)

    @classmethod
    def from_function(cls, kernel: Callable[..., Any], path: str) -> Any:
        """numba's locator for `kernel` of the file `path`; None where nothing can be written."""
        tried = (place.from_function(kernel, path) for place in cls._ALL)
        found = next((locator for locator in tried if locator is not None), None)
        if found is not None:
            stamp = found.get_source_stamp(), _hash(__file__), *_imported(kernel.__globals__)
            found.get_source_stamp = lambda: stamp
        return found


def _imported(module: Mapping[str, Any]) -> Iterator[str]:
    """What the kernels of a module may have of others: the files of kernels, and numbers."""
    for name, value in sorted(module.items()):
        if isinstance(value, Dispatcher) and value.py_func.__globals__ is not module:
            yield _hash(inspect.getfile(value.py_func))
            yield from _imported(value.py_func.__globals__)
        elif isinstance(value, int | float | np.generic):
            yield f"{name} = {value!r}"
        elif isinstance(value, np.ndarray):
            yield f"{name} = {hashlib.sha256(value.tobytes()).hexdigest()}"


@cache
def _hash(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


class Loaded(JITCodeLibrary):  # type: ignore[misc]
    """A kernel's code; what came from the cache holds its intermediate code as written there, and parses it when asked.

    That happens when a kernel which calls it is compiled: at an upgrade, or for types that were not made ready.
    """

    _bitcode = b""

    @classmethod
    def _unserialize(cls, codegen: Any, state: Any) -> Any:
        library = super()._unserialize(codegen, state)
        _, form, data = state
        if form == "object":
            _, library._bitcode = data
            library._shared_module = None
        return library

    def _get_module_for_linking(self) -> Any:
        return parse_bitcode(self._bitcode) if self._bitcode else super()._get_module_for_linking()


JITCPUCodegen._library_class = Loaded


config.CACHE_LOCATOR_CLASSES = config.CACHE_LOCATOR_CLASSES or f"{__name__}.{Places.__name__}"
