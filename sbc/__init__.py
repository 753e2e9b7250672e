"""A session border controller on Twisted."""
