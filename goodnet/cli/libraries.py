"""Import Keras and matplotlib with settings of our own: no answer depends on the user's."""

import gc
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, chdir, contextmanager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path

from goodnet.cli import interrupts
from goodnet.errors import Unusable
from goodnet.printable import say
from goodnet.process import OURS
from goodnet.vetting.keras_version import refuse_unsafe_keras

BACKEND = "KERAS_BACKEND"
# They cut training and answering short, or change how values are kept.
MEDDLING = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")
THREADS = 2  # where a network is trained
INSTALL = "run make lab once, then source .venv/bin/activate"


# What Keras may have been told otherwise, in a notebook that had it before: keras.config's own.
SETTINGS = {
    "floatx": "float32",
    "dtype_policy": "float32",
    "image_data_format": "channels_last",
    "epsilon": 1e-7,
    "max_epochs": None,
    "max_steps_per_epoch": None,
}


def import_keras() -> None:
    """Import Keras with settings of our own, for the rest of the process.

    Raises Unusable as `find_keras` does.
    """
    warnings.simplefilter("ignore")  # Keras has much to say about files that it loads well
    find_keras()
    _configure(SETTINGS)


def find_keras() -> None:
    """Import Keras, without the lines that TensorFlow writes to stderr, whatever keras.json says.

    The user's choice of KERAS_BACKEND stands. Raises Unusable where Keras or its backend is not
    installed, or is one whose ways of loading a network have known holes.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        with (
            tempfile.TemporaryDirectory() as empty,  # no keras.json is there
            _environment(KERAS_HOME=empty, **dict.fromkeys(MEDDLING)),
            _silence(),
            _uncollected(),
        ):
            import keras
    except Exception as error:  # what a backend that is damaged or unknown raises is of any kind
        if interrupts.arrived():
            raise KeyboardInterrupt from None
        raise _missing(error) from None
    if interrupts.arrived():  # TensorFlow has places that swallow it
        raise KeyboardInterrupt
    refuse_unsafe_keras(keras.__version__)


@contextmanager
def our_settings() -> Iterator[None]:
    """A context in which Keras has settings of our own, and warns of nothing.

    Then the user's are back.
    """
    import keras

    users = {name: getattr(keras.config, name)() for name in SETTINGS}
    _configure(SETTINGS)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(keras|tensorflow)\.")
            yield
    finally:
        _configure(users)


def _configure(settings: Mapping[str, object]) -> None:
    import keras

    for name, value in settings.items():
        getattr(keras.config, f"set_{name}")(value)


def pin_threads() -> None:
    """Have TensorFlow, which is not imported yet, compute in so many threads on any machine.

    How the work is shared out decides the last digits, and training makes much of them.
    """
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(THREADS)
    os.environ["TF_NUM_INTEROP_THREADS"] = "1"


@contextmanager
def _uncollected() -> Iterator[None]:
    """A context without collections of garbage, for an import, of which nearly all stays.

    It takes half a second off the import of TensorFlow, and 0.7 s off the end of Python, which does
    not look through all of that once more. A process that is not ours may want its garbage gone.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if OURS:
            gc.freeze()
        if enabled:
            gc.enable()


def _missing(error: Exception) -> Unusable:
    backend = os.environ.get(BACKEND, "tensorflow")
    if backend == "tensorflow":
        return Unusable(f"Keras cannot be imported ({say(error)}); {INSTALL}")
    return Unusable(
        f"the variable {BACKEND} is {backend!r}, and Keras cannot be imported with it "
        f"({say(error)}); unset {BACKEND}, and TensorFlow is taken"
    )


@contextmanager
def _environment(**variables: str | None) -> Iterator[None]:
    """A context in which these variables have these values, or are not there where it is None."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def _silence() -> Iterator[None]:
    """A context in which nothing that is written to stderr, by C code too, gets there."""
    with suppress(AttributeError, ValueError):  # it may be anything in a notebook
        sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def import_matplotlib() -> None:
    """Import matplotlib with its own settings alone.

    While it is imported it reads a matplotlibrc in the current folder, whoever put it there; so
    its own folder of data is the current one meanwhile. Raises Unusable where it is not installed.
    """
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of its font cache
    there_already = "matplotlib" in sys.modules
    found = find_spec("matplotlib")
    data = Path(found.origin).parent / "mpl-data" if found and found.origin else Path()
    try:
        with _inside(data), _environment(MPLBACKEND=None):
            import matplotlib
    except ImportError as error:
        raise Unusable(f"{say(error)}; {INSTALL}") from None
    if there_already:  # in a notebook, which may have set what it likes
        matplotlib.rcdefaults()


def _inside(folder: Path) -> AbstractContextManager[None]:
    """A context in which this folder is the current one."""
    try:
        os.getcwd()
    except OSError:  # it is gone, so nothing is in it
        return nullcontext()
    return chdir(folder)
