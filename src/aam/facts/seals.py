"""A checksum at the end of a file: tells whether it is whole without knowing what it holds."""

import hashlib

# The checksum follows the zip archive of a checkpoint, which torch.load reads all the same.
_MARK = b"\naam-sha256:"
_FOOTER_SIZE = len(_MARK) + 64


def sealed(payload: bytes) -> bytes:
    """The content of a file that ends with the checksum of all before it."""
    return payload + _footer(payload)


def unsealed(content: bytes) -> bytes | None:
    """What was sealed; None if the content was cut short or altered, or never sealed."""
    payload, footer = content[:-_FOOTER_SIZE], content[-_FOOTER_SIZE:]
    return payload if footer == _footer(payload) else None


def _footer(payload: bytes) -> bytes:
    return _MARK + hashlib.sha256(payload).hexdigest().encode()
