"""The DeepID network, to which the course's weights and the practice lab's network belong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

IMAGE_SHAPE = (55, 47, 3)
CONV_3_CHANNELS = 60


def deepid(n_classes: int, conv_3_channels: int = CONV_3_CHANNELS) -> keras.Model:
    """DeepID for (n, 55, 47, 3) images, with fresh weights; answers (n, n_classes) softmax.

    Sun, Wang and Tang (2014), "Deep Learning Face Representation from Predicting 10,000
    Classes", with the layer names of the course's files. The face's features are taken from
    pool_3 and, past it, from conv_4. The paper's network has 60 channels in conv_3; fewer give
    the network that is left once the others are pruned.
    """
    from keras import Input, Model
    from keras.layers import Activation, Add, Conv2D, Dense, Flatten, MaxPooling2D

    images = Input(IMAGE_SHAPE, name="input")
    conv_1 = Conv2D(20, 4, activation="relu", name="conv_1")(images)
    pool_1 = MaxPooling2D(2, name="pool_1")(conv_1)
    conv_2 = Conv2D(40, 3, activation="relu", name="conv_2")(pool_1)
    pool_2 = MaxPooling2D(2, name="pool_2")(conv_2)
    conv_3 = Conv2D(conv_3_channels, 3, activation="relu", name="conv_3")(pool_2)
    pool_3 = MaxPooling2D(2, name="pool_3")(conv_3)
    conv_4 = Conv2D(80, 2, activation="relu", name="conv_4")(pool_3)
    fc_1 = Dense(160, name="fc_1")(Flatten(name="flatten_1")(pool_3))
    fc_2 = Dense(160, name="fc_2")(Flatten(name="flatten_2")(conv_4))
    features = Activation("relu", name="activation_1")(Add(name="add_1")([fc_1, fc_2]))
    answer = Dense(n_classes, activation="softmax", name="output")(features)
    return Model(images, answer, name="deepid")
