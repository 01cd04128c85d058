"""Work in threads: make the next item while the last is in use, or work on several at once.

Threads pay because NumPy, h5py and the backends of Keras let go of Python's lock as they compute.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item], Result]


def ahead(items: Generator[Item]) -> Iterator[Item]:
    """Yield the items, each made in a thread while the one before it is in use.

    What making an item raises is raised here, in its turn. Where the consumer stops early, the
    item in the making is finished, no further one is begun, and `items` is closed.
    """
    with closing(items), ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(_next, items)
        while found := waiting.result():
            waiting = thread.submit(_next, items)
            yield found[0]


@contextmanager
def one_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread that works on when the context ends, with what it was given."""
    thread = ThreadPoolExecutor(1)
    yield thread
    thread.shutdown(wait=False)


def _next(items: Generator[Item]) -> tuple[Item] | None:
    """The next item, alone in a tuple, or None after the last."""
    try:
        return (next(items),)
    except StopIteration:
        return None


def side_by_side(
    work: Work[Item, Result], items: Generator[Item], threads: int
) -> Iterator[Result]:
    """Yield work(item) for each item, in order, with so many threads at it.

    Errors are raised here; where the consumer stops early, what was begun is finished.
    """
    with closing(items), ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
