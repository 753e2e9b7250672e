"""What outlives the process, in SQLite: the record of calls (CDR, decision trail, messages), registrations, and
subscriptions.

`CallStore`, `RegistrationStore` and `SubscriptionStore` write, for the driver; `CallReader` and `RegistrationReader`
read, for the command line. `UserStore` keeps the accounts of phones. `masked_uri` is for others who write down what
came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sbc.store.masking import masked_uri
from sbc.store.reading import CallReader, NoSuchCall
from sbc.store.schema import StoreError

if TYPE_CHECKING:
    from sbc.store.calls import CallStore, StoreSettings
    from sbc.store.registrations import RegistrationReader, RegistrationStore
    from sbc.store.subscriptions import SubscriptionStore
    from sbc.store.users import UserError, UserStore

USERS = "users.sqlite"
"""Name of the file of users in the state directory."""

__all__ = [
    "USERS",
    "CallReader",
    "CallStore",
    "NoSuchCall",
    "RegistrationReader",
    "RegistrationStore",
    "StoreError",
    "StoreSettings",
    "SubscriptionStore",
    "UserError",
    "UserStore",
    "masked_uri",
]


def __getattr__(name: str) -> Any:
    """The writing side is imported when first asked for: the command line only reads, and starts faster without it."""
    if name in ("CallStore", "StoreSettings"):
        from sbc.store import calls

        return getattr(calls, name)
    if name in ("RegistrationReader", "RegistrationStore"):
        from sbc.store import registrations

        return getattr(registrations, name)
    if name == "SubscriptionStore":
        from sbc.store import subscriptions

        return subscriptions.SubscriptionStore
    if name in ("UserError", "UserStore"):
        from sbc.store import users

        return getattr(users, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
