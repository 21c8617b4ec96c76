"""A source that shows every window the same: a whole map, squeezed to the window's size."""

from collections.abc import Callable
from functools import lru_cache

from torch import Tensor


class Squeezed:
    """Every window is the whole map at the window's size, whatever its proportions.

    Args:
        whole: Reads the map, ``(C, h, w)``; called once for each size of window.
        size: ``(height, width)`` of the map that the windows lie in [px].
        resize: From ``(1, C, h, w)`` and a size to ``(1, C, *size)``.
    """

    def __init__(
        self,
        whole: Callable[[], Tensor],
        size: tuple[int, int],
        resize: Callable[[Tensor, tuple[int, int]], Tensor],
    ) -> None:
        self.size = size
        self._whole, self._resize = whole, resize
        self._at = lru_cache(maxsize=4)(self._squeezed)  # windows of a map have a size or two

    def read(self, y: int, x: int, height: int, width: int) -> Tensor:
        """The whole map, ``(C, height, width)``, wherever the window lies."""
        return self._at(height, width)

    def _squeezed(self, height: int, width: int) -> Tensor:
        return self._resize(self._whole()[None], (height, width))[0]
