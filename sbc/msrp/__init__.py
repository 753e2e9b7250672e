"""The Message Session Relay Protocol (RFC 4975) without I/O: its URIs, and its messages as they pass."""

from sbc.msrp.stream import MessageStream
from sbc.msrp.uri import LONGEST_PATH, MsrpUri, parse_path, parse_uri, uri_text

__all__ = ["LONGEST_PATH", "MessageStream", "MsrpUri", "parse_path", "parse_uri", "uri_text"]
