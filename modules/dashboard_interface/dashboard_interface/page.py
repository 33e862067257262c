"""The Content-Security-Policy of the page: its own inline script and style by digest, nothing else."""

import re
from base64 import b64encode
from hashlib import sha256

_INLINE = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


def content_security_policy(html: bytes) -> str:
    """The policy for a page whose scripts and styles are all inline elements without attributes."""
    sources: dict[bytes, list[str]] = {b"script": [], b"style": []}
    for kind, text in _INLINE.findall(html):
        sources[kind].append(f"'sha256-{b64encode(sha256(text).digest()).decode()}'")
    return "; ".join(
        (
            "default-src 'none'",
            "script-src " + " ".join(sources[b"script"] or ["'none'"]),
            "style-src " + " ".join(sources[b"style"] or ["'none'"]),
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
