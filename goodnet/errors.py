"""The two ways in which what somebody handed us can be of no use."""


class Unusable(Exception):
    """An argument or a file that cannot be used; its text is the one line the user reads."""

    exit_status = 2


class Unsafe(Unusable):
    """A file that could be read but must not be."""

    exit_status = 3
