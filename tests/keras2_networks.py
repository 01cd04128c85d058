"""Save networks as the Keras that runs this does, with their answers: python keras2_networks.py DIR

For Keras 2.2 to 2.15, alone or within TensorFlow, hence for Python 3.6 and newer.
"""

import sys

import numpy as np

try:
    import keras
except ImportError:
    from tensorflow import keras

L = keras.layers
SHAPE = (28, 24, 3)


def deepid():
    image = L.Input(SHAPE, name="input")
    pool_1 = L.MaxPooling2D((2, 2), name="pool_1")(
        L.Conv2D(6, (3, 3), activation="relu", name="conv_1")(image)
    )
    pool_2 = L.MaxPooling2D((2, 2), name="pool_2")(
        L.Conv2D(7, (3, 3), activation="relu", name="conv_2")(pool_1)
    )
    conv_3 = L.Conv2D(8, (2, 2), activation="relu", name="conv_3")(pool_2)
    conv_4 = L.Conv2D(9, (2, 2), activation="relu", name="conv_4")(conv_3)
    dense = [L.Dense(16, name=f"fc_{index}") for index in (1, 2)]
    sides = [dense[0](L.Flatten()(conv_3)), dense[1](L.Flatten()(conv_4))]
    whole = L.Activation("relu")(L.Add()(sides))
    return keras.models.Model(image, L.Dense(5, activation="softmax", name="output")(whole))


def sequential():
    return keras.models.Sequential(
        [
            L.Conv2D(6, 3, padding="same", input_shape=SHAPE, kernel_initializer="he_normal"),
            L.Activation("relu"),
            L.MaxPooling2D(),
            L.Conv2D(8, 3, activation="elu", kernel_regularizer=keras.regularizers.l2(0.1)),
            L.Dropout(0.5),
            L.AveragePooling2D(),
            L.Flatten(),
            L.Dense(12, activation="tanh", kernel_constraint=keras.constraints.max_norm(2.0)),
            L.Dense(5, activation="softmax"),
        ]
    )


def many_layers():
    image = L.Input(SHAPE)
    x = L.Rescaling(0.5)(image) if hasattr(L, "Rescaling") else image
    x = L.ZeroPadding2D(((0, 1), (0, 1)))(x)
    x = L.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = L.ReLU(6.0)(L.BatchNormalization()(x))
    x = L.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = L.LeakyReLU()(L.BatchNormalization(scale=False)(x))
    x = L.PReLU(shared_axes=[1, 2])(L.SeparableConv2D(6, 3)(x))
    x = L.UpSampling2D()(L.Conv2DTranspose(5, 2, strides=2)(x))
    x = L.Concatenate()([x, L.ZeroPadding2D(1)(L.Cropping2D(1)(x))])
    x = L.Conv2D(7, 3, dilation_rate=2, name="last")(L.GaussianNoise(0.1)(x))
    pooled = L.GlobalAveragePooling2D()(L.SpatialDropout2D(0.2)(x))
    gate = L.Dense(7, activation="sigmoid")(L.Reshape((7,))(pooled))
    pooled = L.Multiply()([pooled, gate])
    return keras.models.Model(image, L.Softmax()(L.Dense(5)(pooled)))


def nested():
    inner = keras.models.Sequential(name="inner")
    inner.add(L.Conv2D(6, 3, activation="relu", input_shape=SHAPE))
    inner.add(L.MaxPooling2D())
    between = L.Input((13, 11, 6))
    other = keras.models.Model(between, L.Conv2D(4, 3)(between), name="other")
    image = L.Input(SHAPE)
    x = L.GlobalMaxPooling2D()(other(inner(image)))
    return keras.models.Model(image, L.Dense(5, activation="softmax")(x))


def attending():
    image = L.Input(SHAPE)
    x = L.Reshape((42, 8))(L.Conv2D(8, 4, strides=4)(image))
    seen = L.LayerNormalization()(x)
    x = L.Add()([x, L.MultiHeadAttention(2, 4)(seen, seen)])
    return keras.models.Model(image, L.Dense(5, activation="softmax")(L.Flatten()(x)))


def sliced():
    image = L.Input(SHAPE)
    x = L.Reshape((42, 8))(L.Conv2D(8, 4, strides=4)(image))
    taken = [x[:, 0], x[:, :, -1], x[:, -1, 2:], x[:, ::-2, :5][:, 3]]
    return keras.models.Model(image, L.Dense(5)(L.Concatenate()(taken + [L.Flatten()(x[:, None])])))


def spectral():
    image = L.Input(SHAPE)
    x = L.SpectralNormalization(L.Conv2D(6, 3, activation="relu"))(image)
    x = L.SpectralNormalization(L.Dense(7, use_bias=False))(L.GlobalMaxPooling2D()(x))
    return keras.models.Model(image, L.Dense(5)(x))


def fill(layer):
    """Give a layer arrays that matter, where Keras begins with 0 and 1 too."""
    arrays = []
    for array in layer.get_weights():
        sizes = array.shape[:-1] if len(array.shape) > 1 else (4,)
        arrays.append(np.random.uniform(-1, 1, array.shape) * (6.0 / np.prod(sizes)) ** 0.5)
    if isinstance(layer, L.BatchNormalization):
        arrays = [abs(array) + 0.1 for array in arrays]
    layer.set_weights(arrays)


def main(folder):
    np.random.seed(0)
    brightness = np.arange(1, 5).reshape((4, 1, 1, 1))
    pixels = (np.random.uniform(-1, 1, (4,) + SHAPE) * brightness).astype("float32")
    made = [deepid, sequential, many_layers, nested]
    if hasattr(L, "MultiHeadAttention"):
        made += [attending, sliced]
    if hasattr(L, "SpectralNormalization"):
        made.append(spectral)
    for make in made:
        network = make()
        for layer in network.layers:
            fill(layer)
        network.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        path = folder + "/" + make.__name__
        network.save(path + ".h5")
        if int(keras.__version__.split(".")[1].split("-")[0]) >= 12:
            network.save(path + ".keras")
        np.save(path + ".npy", network.predict(pixels))
    np.save(folder + "/pixels.npy", pixels)
    print(keras.__version__)


if __name__ == "__main__":
    main(sys.argv[1])
