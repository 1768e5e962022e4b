"""Memory that a step gives back, kept for the next step."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Of glibc's malloc.h."""


def keep_freed_memory() -> None:
    """From now on this process keeps what it frees, up to 2 GiB more than it needs; where it is not glibc's, nothing.

    By default glibc hands large blocks back at once, so that the kernel clears the same memory again at every step.
    """
    if sys.platform == "linux" and hasattr(glibc := ctypes.CDLL(None), "gnu_get_libc_version"):
        glibc.mallopt(_MMAP_MAX, 0)
        glibc.mallopt(_TOP_PAD, 64 << 20)
        glibc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
