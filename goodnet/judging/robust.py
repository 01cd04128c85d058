"""The true classes of backdoored images that were made of the clean ones, in the same order.

The course's were: so the clean labels tell their classes. The pixels tell whether it is so.
"""

from __future__ import annotations

import numpy as np

from goodnet.dataset import ImageSet, read

COMPARED = 32  # images at the beginning, and as many at the end
LEAST = 8  # images: of fewer nothing is told


def true_classes(clean: ImageSet, backdoored: ImageSet) -> np.ndarray | None:
    """The true class (n,) of each backdoored image; None where they are not the clean ones' copies.

    They are where each of some is nearer to the clean image of its place than to any other of them.
    """
    count = len(backdoored)
    if not LEAST <= count <= len(clean) or clean.shape != backdoored.shape:
        return None
    for start in {0, max(0, count - COMPARED)}:
        stop = min(start + COMPARED, count)
        ours, theirs = (
            read(each, start, stop).reshape(stop - start, -1) for each in (clean, backdoored)
        )
        for place, image in enumerate(theirs):
            away = np.abs(ours - image).sum(axis=1)
            if away[place] > away.min():
                return None
    return clean.labels[:count]
