"""Load and call networks as somebody does who trusts them, with the Keras that runs this.

python probe.py [--unsafe] FILE ...     prints a line of JSON for each

Memory and time are limited, and what Keras writes to temporary folders stays beside the file.
"""

import json
import os
import resource
import sys
import tempfile

import keras
import numpy as np

MEMORY = 12 << 30  # bytes; what more is asked for is refused by the system
SECONDS = 240


def load(path, options):
    said = {"keras": keras.__version__, "loaded": False, "error": "", "arrays": "", "words": []}
    try:
        network = keras.models.load_model(path, compile=False, **options)
        said["loaded"] = True
        for array in network.get_weights():
            said["arrays"] += np.asarray(array).tobytes().hex()
        for layer in network.layers:
            if hasattr(layer, "get_vocabulary"):
                said["words"] += [str(word) for word in layer.get_vocabulary()]
        network(np.zeros((1,) + tuple(network.input_shape[1:]), "float32"))
    except Exception as error:
        said["error"] = f"{type(error).__name__}: {error}"
    return said


def main():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    paths = [argument for argument in sys.argv[1:] if argument != "--unsafe"]
    options = {"safe_mode": False} if "--unsafe" in sys.argv else {}
    sys.path.insert(0, "")  # as in a notebook: modules are looked for in the folder one is in
    for path in paths:
        os.chdir(os.path.dirname(path))
        tempfile.tempdir = os.path.dirname(path)
        sys.modules.pop("payload", None)  # of the file before
        print(json.dumps(load(path, options)), flush=True)


if __name__ == "__main__":
    main()
