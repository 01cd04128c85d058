"""Make the next item in a thread while the last one is worked on."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Generator[Item]) -> Iterator[Item]:
    """Yield the items, each made in a thread while the one before it is in use.

    What making an item raises is raised here, in its turn. Where the consumer stops early, the
    item in the making is finished, no further one is begun, and `items` is closed.
    """
    end = object()
    with closing(items), ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = thread.submit(next, items, end)
            yield item
