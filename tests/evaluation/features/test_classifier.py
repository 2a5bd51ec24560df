"""The small classifier: its file, and that it learns."""

import json

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from gans.core.pixels import to_float
from gans.errors import UserError
from gans.evaluation import train_classifier
from gans.evaluation.features import classifier

DIGITS = ConfigDict({"name": "digits", "split": "", "image_size": 32, "channels": 3})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The file of a classifier that has seen 256 digits twice, and the accuracy it was given."""
    out = tmp_path_factory.mktemp("classifier") / "few.npz"
    recipe = train_classifier.Recipe(epochs=2, batch_size=16, flip=False, shift=1)
    accuracy = train_classifier.run(DIGITS, recipe, train="train[:256]", test="test[:100]", out=out)
    return out, accuracy


def test_it_learns_and_the_accuracy_is_that_of_the_file(trained):
    path, accuracy = trained
    assert accuracy > 0.3  # ten classes
    net = classifier.load(str(path))
    from gans.data import digits

    source = digits.load(split="test[:100]", image_size=32, channels=3)
    guess = np.argmax(net(source.images).logits, axis=-1)
    assert np.mean(guess == source.labels) == pytest.approx(accuracy)
    assert net.classes == source.classes
    about, _ = classifier.read(path)
    assert about["accuracy"] == accuracy and about["recipe"]["epochs"] == 2


def test_grey_images_are_taken_as_three_equal_channels(trained):
    net = classifier.load(str(trained[0]))
    grey = np.random.default_rng(0).integers(0, 256, (2, 20, 24, 1), np.uint8)
    np.testing.assert_array_equal(net(grey).features, net(np.repeat(grey, 3, axis=-1)).features)


def test_a_file_holds_halves_of_what_was_saved(tmp_path):
    module = classifier.Classifier(3, stem_features=2, features=(4,), blocks=(True,))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    variables = module.init(jax.random.key(0), to_float(images), train=False)
    about = {
        "classes": ("x", "y", "z"),
        "network": {"stem_features": 2, "features": (4,), "blocks": (True,)},
    }
    classifier.save(tmp_path / "net.npz", variables, about)
    seen = classifier.load(str(tmp_path / "net.npz"))(images)
    expected = module.apply(variables, to_float(images), train=False)
    np.testing.assert_allclose(seen.features, expected.features, atol=2e-2)
    assert (seen.features.shape, seen.logits.shape) == ((2, 4), (2, 3))


def test_weights_that_come_with_the_code_have_the_accuracy_they_claim():
    """On the test digits; CIFAR-10 is not at hand everywhere."""
    from gans.data import digits

    about, variables = classifier.read(classifier.WEIGHTS / "digits.npz")
    assert about["accuracy"] >= 0.98
    source = digits.load(split="test", image_size=32, channels=3)
    module = classifier.Classifier(10, **classifier.as_fields(about["network"]))
    found = train_classifier.accuracy(module, variables, source)
    # Another processor may round an image on the edge the other way.
    assert found == pytest.approx(about["accuracy"], abs=1.01 / len(source))


@pytest.mark.parametrize("name", ["cifar10", "digits"])
def test_weights_that_come_with_the_code_are_small_and_accurate(name):
    path = classifier.WEIGHTS / f"{name}.npz"
    assert path.stat().st_size < 2 * 10**6
    about, _ = classifier.read(path)
    assert about["accuracy"] >= {"cifar10": 0.85, "digits": 0.98}[name]
    assert about["test"] == "test" and about["data"] == name


def test_other_files_are_refused_in_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no classifier .*nothing.npz.*come with the code"):
        classifier.load(str(tmp_path / "nothing.npz"))
    (tmp_path / "text.npz").write_text("weights")
    with pytest.raises(UserError, match=r"text.npz is damaged, or no file of np.savez"):
        classifier.load(str(tmp_path / "text.npz"))
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(UserError, match=r"other.npz is no classifier"):
        classifier.load(str(tmp_path / "other.npz"))


@pytest.fixture(scope="module")
def digits():
    """The arrays of a classifier's file, and what it says about itself."""
    with np.load(classifier.WEIGHTS / "digits.npz") as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays.pop("about")))


def refused(tmp_path, arrays, about):
    np.savez(tmp_path / "net.npz", **arrays, about=np.array(json.dumps(about)))
    with pytest.raises(UserError) as error:
        classifier.load(str(tmp_path / "net.npz"))
    return str(error.value)


@pytest.mark.parametrize(
    "about",
    [
        None,
        [1],
        {"classes": ["a"]},
        {"classes": None},
        {"classes": 10},
        {"classes": [[1]] * 10},
        {"network": None},
        {"network": [1]},
        {"network": {"x": 1}},
        {"network": {"stem_features": -1}},
        {"network": {"stem_features": "a"}},
        {"network": {"stem_features": 10**12}},
        {"network": {"features": 3}},
        {"network": {"features": [1]}},
        {"network": {"features": [64] * 5000, "blocks": [False] * 5000}},
    ],
)
def test_a_file_that_says_it_is_of_no_such_network_is_refused(tmp_path, digits, about):
    arrays, whole = digits
    about = whole | about if isinstance(about, dict) else about
    assert "net.npz is no classifier of experiments" in refused(tmp_path, arrays, about)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3, "f2"), "of params/Dense_0/bias it has float16 [3], and its network needs"),
        (np.zeros(10, int), "of params/Dense_0/bias it has int64 [10], and its network needs"),
        (np.array(["a"] * 10), "of params/Dense_0/bias it has <U1 [10]"),
        (np.full(10, np.inf), "10 of the 10 numbers in params/Dense_0/bias are not finite"),
        (None, "of params/Dense_0/bias it has none, and its network needs floats [10]"),
    ],
)
def test_a_file_with_another_array_is_refused(tmp_path, digits, array, message):
    arrays, about = digits
    arrays = {name: x for name, x in arrays.items() if name != "params/Dense_0/bias"}
    if array is not None:
        arrays["params/Dense_0/bias"] = array
    assert message in refused(tmp_path, arrays, about)


def test_a_file_with_one_array_more_is_refused(tmp_path, digits):
    arrays, about = digits
    message = refused(tmp_path, {**arrays, "params/x": np.ones(2)}, about)
    assert "of params/x it has float64 [2], and its network needs none" in message


def test_data_without_labels_is_refused(tmp_path):
    data = ConfigDict({"name": "photographs", "image_size": 8, "load_size": 8, "channels": 3})
    data.update(flip=True, test_images=1, split="", resize="bicubic")
    with pytest.raises(UserError, match="needs images in classes"):
        train_classifier.run(
            data, train_classifier.Recipe(), train="", test="", out=tmp_path / "x.npz"
        )


def test_moving_an_image_keeps_its_pixels_and_mirrors_at_the_border():
    image = np.arange(5 * 6 * 1, dtype=np.uint8).reshape(5, 6, 1)
    augment = train_classifier.moved(2, flip=False)
    keys = jax.random.split(jax.random.key(0), 200)
    moved = np.asarray(jax.vmap(augment, (None, 0))(image, keys))
    wide = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="reflect")
    windows = {wide[i : i + 5, j : j + 6].tobytes() for i in range(5) for j in range(5)}
    assert {x.tobytes() for x in moved} == windows  # each of them, and no other
    flipped = jax.vmap(train_classifier.moved(0, flip=True), (None, 0))(image, keys)
    share = np.mean([(x == image[:, ::-1]).all() for x in np.asarray(flipped)])
    assert 0.35 < share < 0.65
