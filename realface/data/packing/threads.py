"""A function over many items in threads: decoding and arithmetic run beside each other in them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    threads: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[Result]:
    """Results in the order of the items.

    Args:
        function: Called with an item; what it raises ends the work.
        items: What to call it with.
        threads: At most so many calls at a time.
        progress: Called with (items done, items in all).
    """
    results: list[Result] = []
    pool = ThreadPoolExecutor(threads)
    try:
        for result in pool.map(function, items):
            results.append(result)
            if progress is not None:
                progress(len(results), len(items))
    finally:
        pool.shutdown(cancel_futures=True)
    return results
