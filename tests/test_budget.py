"""What a network takes, counted without Keras; and how many images fit into the memory."""

import json
import subprocess
import sys
import weakref
import zipfile
from pathlib import Path

import greedy
import keras
import numpy as np
import pytest
from conftest import (
    ROOT,
    SHAPE,
    check_refused,
    hold,
    load_model,
    load_network,
    random_images,
    run_script,
    tiny_network,
    write_images,
)
from greedy import GREEDY
from hostile import VARIANTS, base, make_bases
from keras import layers

from goodnet import memory
from goodnet.errors import Unsafe, Unusable
from goodnet.memory import MOST, Limits, find_memory, images_at_once, parse_memory, say_bytes
from goodnet.networks import graph, loading
from goodnet.networks.demands import demands_of, fit_batch, fit_training
from goodnet.networks.graph import unroll
from goodnet.tuning.gradients import compile_step
from goodnet.vetting import demands
from goodnet.vetting.configuration import vet_configuration
from goodnet.vetting.demands import find_demands

LIMITS = Limits(MOST)


def demands_in(network: keras.Model, image: tuple | None = None) -> demands.Demands:
    return find_demands(vet_configuration(network.to_json(), "it"), "it", image and list(image))


# ---------------------------------------------------------------- what a network takes


def bytes_of(tensor: keras.KerasTensor) -> int:
    return 4 * int(np.prod(tensor.shape[1:]))


@pytest.mark.parametrize("make", [tiny_network, lambda: branched(), lambda: nested()])
def test_all_tensors_are_counted_once_for_each_call(make):
    """Keras is the judge: it knows the shape of what each call makes."""
    network = make()
    flat = graph.flatten(network)
    made = sum(bytes_of(tensor) for node in graph.nodes(flat) for tensor in node.outputs)
    assert demands_in(network).kept == made


def branched() -> keras.Model:
    """A layer on two tensors, a sum, a tensor that waits long."""
    image = keras.Input(SHAPE)
    shared = layers.Conv2D(3, 3, padding="same")
    first = shared(image)
    second = shared(layers.ReLU()(first))
    total = layers.Add()([first, second, image])
    return keras.Model(image, layers.Dense(5)(layers.Flatten()(total)))


def nested() -> keras.Model:
    inner = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3), layers.ReLU()])
    image = keras.Input(SHAPE)
    return keras.Model(image, layers.Dense(5)(layers.Flatten()(inner(image))))


def test_the_most_at_one_time_is_counted_by_hand():
    """The image and what waits, and three times what is made: while it works, a layer has that."""
    image = keras.Input((10, 10, 1))  # 400 bytes
    wide = layers.Conv2D(8, 1)(image)  # 3200
    pooled = layers.MaxPooling2D(10)(wide)  # 32
    network = keras.Model(image, layers.Flatten()(pooled))
    assert demands_in(network).most == 400 + 3 * 3200
    waits = layers.Conv2D(8, 1)(layers.UpSampling2D(1)(image))  # 400, then 3200
    both = layers.Concatenate()([wide, waits])  # 6400
    network = keras.Model(image, layers.GlobalAveragePooling2D()(both))
    assert demands_in(network).most == 400 + 2 * 3200 + 3 * 6400


def test_open_sizes_are_those_of_the_images():
    image = keras.Input((None, None, 3))
    up = layers.UpSampling2D(4)(image)
    network = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(up)))
    pixels = 14 * 12 * 3
    assert demands_in(network, SHAPE).kept == 4 * (pixels + 16 * pixels + 3 + 2)
    assert demands_in(network).kept == 4 * (3 + 16 * 3 + 3 + 2) - 4 * 15 * 3  # 1 stays open


def test_images_too_small_for_an_open_size_are_refused_in_a_line(tmp_path):
    image = keras.Input((None, None, 3))
    tensor = image
    for _ in range(4):
        tensor = layers.MaxPooling2D()(tensor)
    network = greedy.closed(tensor, image)
    network.save(tmp_path / "it.keras")
    loaded = load_network(tmp_path / "it.keras")
    with pytest.raises(Unusable, match=r"it.keras: on images of \(14, 12, 3\): .*does not fit"):
        fit_batch([loaded], [SHAPE], LIMITS)
    assert fit_batch([loaded], [(16, 16, 3)], LIMITS) == 768


@pytest.mark.parametrize("name, size", [("MobileNetV2", 224), ("ResNet50", 224)])
def test_networks_of_everyday_use_fit_at_defaults(name, size):
    network = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3))
    found = demands_in(network)
    assert images_at_once(found.most, Limits(1 << 31)) >= 32
    assert found.kept < demands.MOST_KEPT / 16


# ---------------------------------------------------------------- what asks for too much


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", GREEDY)
def test_every_greedy_network_is_refused(tmp_path, kind, variant):
    path = GREEDY[kind](tmp_path, variant)
    with pytest.raises(Unsafe) as caught:
        fit_batch([load_network(path)], [SHAPE], LIMITS)
    line = str(caught.value)
    assert caught.value.exit_status == 3 and line.startswith(f"{path}: ") and line.isprintable()
    says = ("one image", "up to here", "one behind the other", "steps to build")
    assert any(word in line for word in says) and len(line) < 600


PROGRAM = """if True:
    import resource, subprocess, sys
    done = subprocess.run([sys.executable, *sys.argv[1:]], timeout=600)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.returncode, used.ru_maxrss, used.ru_utime + used.ru_stime, file=sys.stderr)
"""


def measure(*command: object) -> tuple[int, float, float, list[str]]:
    """Status, GiB of the largest process, seconds of processor time, and the lines on stderr.

    In a small process of its own: what is started from a large one counts as large.
    """
    command = [sys.executable, "-c", PROGRAM, *map(str, command)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *lines, last = done.stderr.splitlines()
    status, kibibytes, seconds = map(float, last.split())
    return int(status), kibibytes / 2**20, seconds, lines


PLAINLY = """if True:
    import resource, sys
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    import keras, numpy as np
    network = keras.models.load_model(sys.argv[1], compile=False)
    sizes = [size or 14 for size in network.input_shape[1:]]
    network(np.zeros((1, *sizes), np.float32))
    network.predict(np.zeros((1, *sizes), np.float32), verbose=0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", GREEDY)
def test_plain_keras_takes_much_memory_or_time_for_them(tmp_path, kind, variant):
    path = GREEDY[kind](tmp_path, variant)
    status, gibibytes, seconds, _ = measure("-c", PLAINLY, path)
    assert status or gibibytes > 1 or seconds > 20, (status, gibibytes, seconds)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", GREEDY)
def test_eval_refuses_greedy_networks_in_little_time_and_memory(tmp_path, kind, variant):
    path = GREEDY[kind](tmp_path, variant)
    images = write_images(tmp_path / "images.h5", random_images(6), np.zeros(6))
    status, gibibytes, seconds, lines = measure(ROOT / "eval.py", images, images, path)
    assert status == 3 and len(lines) == 1 and lines[0].startswith(f"eval.py: {path}: "), lines
    assert gibibytes < 1 and seconds < 20


def of_224(folder: Path, count: int) -> tuple[Path, Path]:
    """A MobileNetV2 of 224 x 224 and so many images for it."""
    within = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(224, 224, 3)
    )
    image = keras.Input((224, 224, 3))
    network = greedy.closed(within(layers.Rescaling(1 / 127.5, -1)(image)), image)
    network.save(folder / "b.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), np.uint8)
    return write_images(folder / "images.h5", pixels, np.arange(count) % 3), folder / "b.keras"


@pytest.mark.slow
def test_a_network_of_224_x_224_stays_under_2_5_gb(tmp_path):
    images, network = of_224(tmp_path, 128)
    status, gibibytes, _, _ = measure(ROOT / "eval.py", images, images, network)
    assert status == 0 and gibibytes * 2**30 < 2.5e9


HASTILY = f"""if True:
    import dataclasses, functools, runpy, sys
    sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
    from goodnet.tuning import unlearning
    from hasty import HASTY
    some = dataclasses.replace(HASTY, round_steps=10, first_polish_steps=10)
    unlearning.unlearn = functools.partial(unlearning.unlearn, schedule=some)
    sys.argv[0] = "repair.py"
    runpy.run_path({str(ROOT / "repair.py")!r}, run_name="__main__")
"""


@pytest.mark.slow
def test_unlearning_a_network_of_224_x_224_stays_under_2_5_gb(tmp_path):
    """With more images than it keeps. Steps take the same memory, however many there are."""
    files = of_224(tmp_path, 700)
    program = tmp_path / "hasty.py"
    program.write_text(HASTILY)
    options = ("--method", "unlearn", "--out", tmp_path / "out")
    status, gibibytes, _, lines = measure(program, *files, *options)
    assert status == 0 and gibibytes * 2**30 < 2.5e9, (gibibytes, lines)
    assert (tmp_path / "out/B_unlearned.keras").exists()


# ---------------------------------------------------------------- the order of layers


def shuffled(path: Path, order: str) -> Path:
    """A copy of a .keras file, its layers listed in another order."""
    copy = path.with_name(f"{order}.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(copy, "w") as made:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                listed = config["config"]["layers"]
                if order == "backwards":
                    listed.reverse()
                else:
                    np.random.default_rng(0).shuffle(listed)
                content = json.dumps(config).encode()
            made.writestr(name, content)
    return copy


@pytest.mark.parametrize("order", ["backwards", "by chance"])
def test_layers_in_another_order_are_the_same_network(tmp_path, order):
    network = branched()
    network.save(tmp_path / "it.keras")
    found = load_model(shuffled(tmp_path / "it.keras", order))
    pixels = random_images(5).astype("float32")
    np.testing.assert_array_equal(found.predict(pixels), network.predict(pixels))
    assert [layer.name for layer in found.layers] == [layer.name for layer in network.layers]
    plain = keras.models.load_model(tmp_path / "it.keras")
    for ours, theirs in zip(found.weights, plain.weights, strict=True):
        assert ours.path == theirs.path
        np.testing.assert_array_equal(ours, theirs)


def test_layers_in_order_stay_where_they_are():
    text = branched().to_json()
    listed = [layer["config"]["name"] for layer in json.loads(text)["config"]["layers"]]
    rebuilt = vet_configuration(text, "it")["config"]["layers"]
    assert [layer["name"] for layer in rebuilt] == listed


def test_a_chain_listed_backwards_takes_a_step_a_layer(tmp_path, monkeypatch):
    parts = greedy.chain(400)[::-1]
    path = greedy.write(tmp_path, parts, (parts[0]["name"], 0))
    monkeypatch.setattr(demands, "MOST_STEPS", 402)
    assert len(load_model(path).layers) == 403
    monkeypatch.setattr(demands, "MOST_STEPS", 401)
    with pytest.raises(Unsafe, match="more than 401 steps"):
        load_network(path)


def test_what_keras_tries_in_vain_is_a_step_as_well(tmp_path, monkeypatch):
    """Two layers that call each other: no order has all that is needed before it."""
    ping, pong = (layers.Conv2D(3, 1, name=name) for name in ("ping", "pong"))
    image = tensor = keras.Input(SHAPE)
    for _ in range(3):
        tensor = pong(ping(tensor))
    monkeypatch.setattr(demands, "MOST_STEPS", 8 + 8)  # what waits is tried twice
    greedy.closed(tensor, image).save(tmp_path / "it.keras")
    assert load_model(tmp_path / "it.keras")
    monkeypatch.setattr(demands, "MOST_STEPS", 8 + 7)
    with pytest.raises(Unsafe, match="steps"):
        load_network(tmp_path / "it.keras")


# ---------------------------------------------------------------- layer by layer


@pytest.mark.parametrize("make", [tiny_network, branched, nested])
def test_layer_by_layer_a_network_answers_the_same(make):
    network, pixels = make(), random_images(4).astype("float32")
    (answer,) = unroll(network, [pixels])
    np.testing.assert_array_equal(answer, network(pixels, training=False))


def test_layer_by_layer_what_was_used_is_let_go(monkeypatch):
    image = tensor = keras.Input(SHAPE)
    for _ in range(8):
        tensor = layers.ReLU()(tensor)
    network, made, most = keras.Model(image, tensor), [], []
    plain = graph.call_again

    def call_again(node, known):
        found = plain(node, known)
        made.extend(map(weakref.ref, found))
        most.append(sum(each() is not None for each in made))
        return found

    monkeypatch.setattr(graph, "call_again", call_again)
    unroll(network, [random_images(2).astype("float32")])
    assert len(made) == 8 and max(most) == 2


# ---------------------------------------------------------------- memory


@pytest.mark.parametrize(
    "text, size",
    [("4G", 4 << 30), ("4GB", 4 << 30), ("1.5gib", 3 << 29), ("800M", 800 << 20), ("512", 512)],
)
def test_sizes_are_read_as_people_write_them(text, size):
    assert parse_memory(text) == size
    assert parse_memory(say_bytes(size)) >= size


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "4 gigabytes", "nan", "1e9"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is not a size like 4G or 800M"):
        parse_memory(text)


def test_the_default_is_half_of_what_a_container_may_use(tmp_path, monkeypatch):
    assert 0 < find_memory() <= MOST
    (tmp_path / "v2").write_text("max\n")
    (tmp_path / "v1").write_text(f"{3 << 30}\n")
    monkeypatch.setattr(memory, "CGROUPS", (tmp_path / "v2", tmp_path / "none"))
    without = find_memory()
    monkeypatch.setattr(memory, "CGROUPS", (tmp_path / "v2", tmp_path / "v1"))
    assert find_memory() == min(without, 3 << 29)


def test_images_at_a_time_follow_from_the_memory():
    course = demands_in(loading.deepid(1283)).most
    assert images_at_once(course, LIMITS) == 768
    assert images_at_once(course, Limits(1 << 30)) == 224
    assert images_at_once(course, Limits(MOST, 8)) == 8
    assert images_at_once(20 << 20, LIMITS) == 32
    with pytest.raises(Unusable, match="takes 70M of memory .* 4096M, --memory 4480M would do"):
        images_at_once(70 << 20, LIMITS)
    assert images_at_once(70 << 20, Limits(parse_memory("4480M"))) == 32


@pytest.fixture(scope="module")
def network_and_images(tmp_path_factory) -> list[Path]:
    make_bases(folder := tmp_path_factory.mktemp("lab"))
    (folder / "b.h5").write_bytes(base(".h5"))
    images = write_images(folder / "images.h5", random_images(70), np.arange(70) % 5)
    return [images, images, folder / "b.h5"]


def test_less_memory_changes_no_answer(network_and_images, run_here):
    said = {run_here("eval.py", *network_and_images, "--memory", x).stdout for x in ("4G", "4M")}
    assert len(said) == 1


@pytest.mark.parametrize("script", ["eval.py", "repair.py", "unlearn", "predict.py"])
def test_too_little_memory_is_told_before_the_work(network_and_images, tmp_path, run_here, script):
    images, _, network = network_and_images
    keras.utils.save_img(tmp_path / "photo.png", random_images(1)[0])
    commands = {
        "eval.py": ["eval.py", images, images, network],
        "repair.py": ["repair.py", images, network, "--out", tmp_path],
        "unlearn": ["repair.py", images, network, "--out", tmp_path, "--method", "unlearn"],
        "predict.py": ["predict.py", tmp_path / "photo.png", "--model", network],
    }
    done = run_here(*commands[script], "--memory", "100K")
    check_refused(done, f"{network}: takes ", "for --memory 1M")


def test_memory_is_a_size():
    check_refused(run_script("eval.py", "a", "b", "c", "--memory", "much"), "not a size like 4G")


# ---------------------------------------------------------------- training


def test_a_size_beyond_all_bounds_is_a_size():
    assert parse_memory("9" * 400 + "G") > MOST


def test_what_training_takes_does_not_depend_on_the_memory(network_and_images):
    images, _, network = network_and_images
    held = hold([network], [images])
    loaded = loading.load_network(held.network(network))
    valid = loading_images(held, images)
    assert demands_of(loaded, SHAPE).kept == demands_in(tiny_network()).kept
    together = {fit_training(loaded, valid, len(valid), Limits(size)) for size in (MOST, MOST // 4)}
    assert len(together) == 1
    with pytest.raises(Unusable, match="of memory to be trained"):
        fit_training(loaded, valid, len(valid), Limits(1 << 20))


def loading_images(held, path):
    from conftest import fit_of

    from goodnet.dataset import open_clean

    return open_clean(held.images(path), fit_of(SHAPE, 5))


@pytest.mark.parametrize("together, rows", [(4, 64), (4, 37), (16, 64), (16, 37)])
def test_a_step_in_parts_is_the_step_of_the_whole(together, rows):
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(rows, 6)).astype("float32")
    wanted = rng.normal(size=(rows, 3)).astype("float32")
    after = []
    for size in (rows, together):
        keras.utils.set_random_seed(0)
        layer = layers.Dense(3)
        layer.build((None, 6))

        def loss(x, y, layer=layer):
            return keras.ops.mean(keras.ops.square(layer(x) - y))

        step = compile_step(loss, layer.trainable_variables, keras.optimizers.SGD(0.5), size)
        step(pixels, wanted)
        after.append(layer.get_weights()[0])
    np.testing.assert_allclose(*after, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- the clock


LATE = """if True:
    import sys, time
    from pathlib import Path
    from goodnet import process
    from goodnet.deadline import deadline
    from goodnet.errors import Unsafe
    process.OURS = sys.argv[2] == "ours"
    sys.argv[0] = "eval.py"
    print("an answer")
    with deadline(0.2, Unsafe("takes too long", Path("b.h5")), Path(sys.argv[1])):
        time.sleep(0.1)
    with deadline(0.2, Unsafe("takes too long", Path("b.h5")), Path(sys.argv[1])):
        time.sleep(2)
"""


@pytest.mark.parametrize("whose", ["ours", "a notebook's"])
def test_what_takes_too_long_ends_in_one_line(tmp_path, whose):
    (folder := tmp_path / "it").mkdir()
    (folder / "network.h5").write_bytes(b"whatever")
    command = [sys.executable, "-c", LATE, folder, whose]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "an answer\n"
    if whose == "ours":
        assert (done.returncode, done.stderr) == (3, "eval.py: b.h5: takes too long\n")
        assert not folder.exists()
    else:
        assert (done.returncode, done.stderr) == (0, "") and folder.exists()
