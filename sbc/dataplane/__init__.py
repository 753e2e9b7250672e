"""Implementations of `sbc.media.flow.DataPlane`.

The names are imported when they are asked for: the worker process lives in this package too, and must not load Twisted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbc.dataplane.memory import MemoryPlane
    from sbc.dataplane.userspace import PortRange, UserspacePlane

__all__ = ["MemoryPlane", "PortRange", "UserspacePlane"]


def __getattr__(name: str) -> object:
    if name == "MemoryPlane":
        from sbc.dataplane.memory import MemoryPlane

        return MemoryPlane
    if name in ("UserspacePlane", "PortRange"):
        from sbc.dataplane import userspace

        return getattr(userspace, name)
    raise AttributeError(name)
