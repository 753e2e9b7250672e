"""After every test with a border: nothing of the private side was to be seen on the public link."""

from tests.support.watch import nothing_private_shows

__all__ = ["nothing_private_shows"]
