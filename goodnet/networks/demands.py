"""What a network takes for images of a given size, and how many of them fit into the memory."""

from collections.abc import Iterable

from goodnet.dataset import ImageSet, ImageShape
from goodnet.errors import Unusable
from goodnet.memory import Limits, images_at_once, say_bytes
from goodnet.networks.loading import LoadedNetwork, input_shape, try_out
from goodnet.vetting.demands import Demands, find_demands

GRADIENTS = 1 << 30  # bytes for what layers made of images, until their gradients are found
TRAINED = 2  # times what the layers make, for the gradients
MOST_TRAINED = 1024  # images together, about: of a DeepID
FEWEST_TRAINED = 8


def demands_of(loaded: LoadedNetwork, image: ImageShape) -> Demands | None:
    """What a network asks for, on images of this size: nothing of it is computed.

    None where vetting does not know the layers: a notebook's own network, which nobody else made.
    Raises Unsafe where that is more than any network takes, Unusable where they are too small.
    """
    if loaded.configuration is None:
        return None
    place = f"on images of {image}"
    try:
        return find_demands(loaded.configuration, place, list(image))
    except Unusable as error:
        raise error.about(loaded.path) from None


def fit_training(loaded: LoadedNetwork, valid: ImageSet, kept: int, limits: Limits) -> int:
    """How many images' gradients may be found together; of these the memory decides nothing.

    kept: how many images are in memory meanwhile. Raises Unsafe or Unusable where the memory is too
    small for them and the images.
    """
    demands = demands_of(loaded, valid.shape)
    if demands is None:
        return MOST_TRAINED
    size = demands.kept * TRAINED
    together = max(FEWEST_TRAINED, GRADIENTS // size)
    need = min(together, MOST_TRAINED) * size + kept * valid.bytes_each
    if need > limits.memory:
        raise Unusable(
            f"takes {say_bytes(need)} of memory to be trained; that is too much for --memory "
            f"{say_bytes(limits.memory)}",
            loaded.path,
        )
    return together


def fit_batch(
    networks: Iterable[LoadedNetwork], images: Iterable[ImageShape], limits: Limits
) -> int:
    """How many images of these sizes these networks may be given at a time, one after the other.

    Raises Unsafe or Unusable where that is none.
    """
    sizes = set(images)
    batch = limits.batch_size
    for loaded in networks:
        found = [each for each in (demands_of(loaded, image) for image in sizes) if each]
        try:
            if found:
                batch = min(batch, images_at_once(max(each.most for each in found), limits))
            if None in input_shape(loaded.model):  # else it was tried when it was loaded
                for image in sizes:
                    try_out(loaded.model, image, loaded.path)
        except Unusable as error:
            raise error.about(loaded.path) from None
    return batch
