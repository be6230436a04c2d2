"""How a kernel of this package is compiled: cached on disk, without the interpreter's lock, with IEEE arithmetic.

A kernel calls no kernel of another file: numba's cache would not notice when that one changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

__all__ = ["compiled"]

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def compiled(kernel: _Kernel) -> _Kernel:
    """`kernel`, compiled by numba at its first call or loaded from the cache."""
    return cast(_Kernel, njit(cache=True, nogil=True, error_model="numpy")(kernel))
