"""How a kernel of this package is compiled: cached on disk, without the interpreter's lock, with IEEE
arithmetic. The codec, the head, the series table and the doors decorate their loops with it.

There is no fastmath: it would assume that NaN and infinity do not occur, and samples may be either. A
kernel calls no kernel of another file: numba's cache would not notice when that one changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

__all__ = ["compiled", "compiled_lean"]

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
