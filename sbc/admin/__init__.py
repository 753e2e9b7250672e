"""What a person sees: the subcommands of `sbc`, and the built-in answering peer.

Light to import: argparse and nothing else; the answering peer (and Twisted with it) comes when first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sbc.admin.commands import (
    add_calls_command,
    add_demo_command,
    add_explain_command,
    add_registrations_command,
)
from sbc.admin.users import add_user_command, made_up_password

if TYPE_CHECKING:
    from sbc.admin.answering import AnsweringPeer

__all__ = [
    "AnsweringPeer",
    "add_calls_command",
    "add_demo_command",
    "add_explain_command",
    "add_registrations_command",
    "add_user_command",
    "made_up_password",
]


def __getattr__(name: str) -> Any:
    if name == "AnsweringPeer":
        from sbc.admin.answering import AnsweringPeer

        return AnsweringPeer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
