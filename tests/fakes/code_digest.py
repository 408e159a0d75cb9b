"""Which code a proof speaks of: what it keeps of other code is not kept, and is proven anew."""

from __future__ import annotations

import zlib
from pathlib import Path

import openrdms


def digest_code() -> str:
    """Eight digits of all modules of the product, by path and content."""
    top = Path(openrdms.__file__).parent
    digest = 0
    for file in sorted(top.rglob("*.py")):
        digest = zlib.crc32(str(file.relative_to(top)).encode(), digest)
        digest = zlib.crc32(file.read_bytes(), digest)
    return f"{digest:08x}"
