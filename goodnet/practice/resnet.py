"""A small residual network with batch norm, for labs that are built with `--network resnet`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goodnet.networks.deepid import IMAGE_SHAPE

if TYPE_CHECKING:
    import keras

BLOCKS = ((32, 1), (64, 2), (64, 1), (128, 2))  # channels, stride


def resnet(n_classes: int) -> keras.Model:
    """Blocks of He et al. (2016) for (n, 55, 47, 3) images, with fresh weights; a softmax.

    The first layer has a bias and no padding, as DeepID's, so that it can take other pixels.
    """
    from keras import Input, Model
    from keras.layers import BatchNormalization, Conv2D, Dense, GlobalAveragePooling2D, ReLU

    images = Input(IMAGE_SHAPE, name="input")
    values = Conv2D(32, 4, strides=2, name="conv_1")(images)
    values = ReLU()(BatchNormalization()(values))
    for channels, stride in BLOCKS:
        values = _block(values, channels, stride)
    pooled = GlobalAveragePooling2D(name="pool")(values)
    return Model(
        images, Dense(n_classes, activation="softmax", name="output")(pooled), name="resnet"
    )


def _block(values: keras.KerasTensor, channels: int, stride: int) -> keras.KerasTensor:
    """Two convolutions and, past them, the values themselves or a third one of size 1."""
    from keras.layers import Add, BatchNormalization, Conv2D, ReLU

    found = Conv2D(channels, 3, strides=stride, padding="same", use_bias=False)(values)
    found = ReLU()(BatchNormalization()(found))
    found = Conv2D(channels, 3, padding="same", use_bias=False)(found)
    found = BatchNormalization()(found)
    if stride > 1 or values.shape[-1] != channels:
        values = Conv2D(channels, 1, strides=stride, use_bias=False)(values)
        values = BatchNormalization()(values)
    return ReLU()(Add()([values, found]))
