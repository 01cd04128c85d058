"""What the user says of image sets, where it does not show in them. Needs no NumPy."""

from dataclasses import dataclass

from goodnet.vetting.classes import Classes

Keys = tuple[str, str]  # the names of the images and of the labels


@dataclass(frozen=True)
class Reading:
    """How to read image sets."""

    keys: Keys | None = None  # in .h5 and .npz files
    classes: Classes | None = None  # of folders


AS_IT_SHOWS = Reading()
