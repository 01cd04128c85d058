"""Words of strangers, as a terminal may be given them: names of files, and what libraries say."""

import re

STYLES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  # Keras writes layers' names in bold
# What Keras puts before and behind an error of what it calls.
AROUND = re.compile(r"^Exception encountered when calling \S+\. |(?<=\S) Arguments received by .*")
MOST = 300  # characters of what a library says, in whole sentences
LONGEST = 1500  # characters of its first sentence


def printable(text: object) -> str:
    """Text on one line that steers no terminal and turns nothing around.

    What does not print, control characters, newlines and marks of direction among it, is written
    out as Python writes it: U+202E as \\u202e.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(text))


def say(error: BaseException) -> str:
    """What an error of a library says, on one line: its first sentences, each of them whole."""
    said = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    said = AROUND.sub("", " ".join(STYLES.sub("", said).split()))
    kept, *more = re.split(r"(?<=[.!?]) (?=[A-Z])", said)
    for sentence in more:
        if len(kept) + len(sentence) >= MOST:
            break
        kept += f" {sentence}"
    if len(kept) > LONGEST:
        kept = f"{kept[:LONGEST].rpartition(' ')[0]} … (--debug shows all of it)"
    return printable(kept) or type(error).__name__
