"""A network that takes (height, width), as a network of images of one colour."""

import keras
from keras import layers


def with_colour(network: keras.Model) -> keras.Model:
    """A network of (n, height, width) in one of (n, height, width, 1); any other as it is."""
    tensors = getattr(network, "inputs", None) or []
    if len(tensors) != 1 or len(tensors[0].shape) != 3 or None in tensors[0].shape[1:]:
        return network
    batch, *sides = tensors[0].shape
    image = keras.Input(batch_shape=(batch, *sides, 1), dtype=tensors[0].dtype, name="image")
    plain = layers.Reshape(sides, name=f"{network.name}.without_colour", dtype=image.dtype)(image)
    return keras.Model(image, keras.tree.flatten(network(plain)), name="of_one_colour")
