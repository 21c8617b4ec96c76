"""What went wrong, in the user's words: what was given, what was expected, what to do."""


class RealfaceError(Exception):
    """A failure that the user can act on.

    Args:
        given: What was found, with its name and value.
        expected: What would have been right.
        remedy: What to do about it.
    """

    exit_code = 1

    def __init__(self, given: str, expected: str, remedy: str) -> None:
        super().__init__(given, expected, remedy)
        self.given, self.expected, self.remedy = given, expected, remedy

    def __str__(self) -> str:
        return f"given: {self.given}\nexpected: {self.expected}\nwhat to do: {self.remedy}"


class InputError(RealfaceError):
    """The input is at fault: a file, a flag, a config; nothing has been written."""

    exit_code = 2


class FailureError(RealfaceError):
    """The work broke off: a full disk, a NaN from a network; nothing is left half-written."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: on a CPU and under MPS only a RuntimeError's words tell."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(word in text for word in words)
