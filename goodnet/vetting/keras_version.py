"""Which Keras may be given a stranger's network, even one that was vetted."""

import re

from goodnet.errors import Unusable

# Closed by then: CVE-2025-1550, -8747, -9905, -9906, -12058, CVE-2026-0897, -1462, -1669 and the
# path traversal of GHSA-hqp4-2352-xf5r. 3.14 still reads weights of .h5 files from other files, and
# allocates 4 TiB for an array that is not there.
SAFE_KERAS = (3, 15, 1)


def refuse_unsafe_keras(version: str) -> None:
    """Raise Unusable where Keras of this version has known holes in its ways to load a network."""
    if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < SAFE_KERAS:
        raise Unusable(
            f"Keras {version} has known holes that a network's file can use; needed is "
            f"{'.'.join(map(str, SAFE_KERAS))} or newer: pip install -r requirements.txt"
        )
