"""Reading ahead: order, errors, and what happens where the consumer stops."""

import threading

import pytest

from goodnet.threads import ahead, side_by_side


def test_all_items_come_in_order_from_another_thread():
    makers = set()

    def items():
        for number in range(5):
            makers.add(threading.get_ident())
            yield number

    assert list(ahead(items())) == [0, 1, 2, 3, 4]
    assert threading.get_ident() not in makers


def test_one_item_is_made_ahead_and_no_more():
    made = []

    def items():
        for number in range(5):
            made.append(number)
            yield number

    found = ahead(items())
    assert next(found) == 0
    found.close()
    assert made == [0, 1]


def test_an_error_comes_in_its_turn():
    def items():
        yield 1
        raise ValueError("damaged")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(found)


def test_where_the_consumer_stops_the_maker_is_closed_and_the_thread_ends():
    threads = threading.active_count()
    closed = []

    def items():
        try:
            yield from range(5)
        finally:
            closed.append(True)

    for in_threads in (ahead, lambda made: side_by_side(abs, made, 2)):
        closed.clear()
        made = items()  # held, so that it is not closed merely by being forgotten
        with pytest.raises(RuntimeError):
            for _ in in_threads(made):
                raise RuntimeError
        assert closed == [True]
        assert threading.active_count() == threads


def test_side_by_side_keeps_the_order_and_works_on_several():
    together = threading.Barrier(2, timeout=10)

    def work(number: int) -> int:
        together.wait()
        return number * number

    assert list(side_by_side(work, (number for number in range(6)), 2)) == [0, 1, 4, 9, 16, 25]


def test_side_by_side_raises_what_the_work_raises():
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda number: 1 // number, (number for number in (1, 0, 2)), 2))
