"""The border of a module's `CONFIG`; after every test with one, nothing of the private side was to be seen outside."""

from tests.support.watch import border, nothing_private_shows

__all__ = ["border", "nothing_private_shows"]
