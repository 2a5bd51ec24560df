"""Views: the same whatever the blocks and the devices, and kept where they may be."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from closeness import assert_no_further, exactly

from gans import parallel
from gans.core.state import create_net
from gans.data import arrays
from gans.evaluation import views
from gans.evaluation.features.network import FeatureNet, Seen
from gans.evaluation.metrics import leaks
from gans.evaluation.metrics.frechet import Moments
from gans.inference.sampling import Sampler
from gans.models import dcgan


def apply(variables, images):
    x = images.astype(jnp.float32) / 255
    rows, columns = x.mean((2, 3)), x.mean((1, 3))
    features = jnp.concatenate([rows, columns], axis=-1) @ variables["matrix"]
    return Seen(features, features[:, :4])


@pytest.fixture(scope="module")
def net():
    matrix = np.random.default_rng(1).normal(size=(16, 7)).astype(np.float32)
    return FeatureNet("classifier", "0123", "none", tuple("abcd"), apply, {"matrix": matrix})


@pytest.fixture(scope="module")
def source():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (53, 8, 8, 3), np.uint8)
    return arrays.source(images, labels=rng.integers(0, 4, 53), classes=tuple("abcd"))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "gans" / "views"


@pytest.mark.parametrize("devices", [1, 3, 4])
def test_blocks_and_devices_make_no_difference(net, source, devices, monkeypatch):
    monkeypatch.setattr(views, "BLOCK", 7)  # with a last block of 4
    blocks = views.real(source, 0, seed=0)
    view = views.look(net, blocks, parallel.make_mesh(devices), source.classes)
    whole, exact = net(source.images), exactly(apply)(net.variables, source.images)
    assert len(view) == 53
    assert_no_further(Seen(view.features, view.logits), whole, exact)
    np.testing.assert_array_equal(view.labels, source.labels)
    marks = np.asarray(leaks.marks(source.images))
    np.testing.assert_allclose(view.marks, marks, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(view.of_class(2).marks, view.marks[source.labels == 2])


def test_moments_of_parts_are_those_of_all():
    features = np.random.default_rng(0).normal(100, 1, (3000, 5)).astype(np.float32)
    view = views.View("classifier", (), (), features, features, None)
    whole = Moments.of(features)
    np.testing.assert_allclose(view.moments.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(view.moments.covariance, whole.covariance, rtol=1e-9)


def test_a_choice_of_real_images_has_none_twice_and_follows_its_seed(source):
    def chosen(seed):
        blocks = list(views.real(source, 20, seed=seed))
        return np.concatenate([block.images for block in blocks])

    first = chosen(0)
    assert len({image.tobytes() for image in first}) == 20
    assert {x.tobytes() for x in first} <= {x.tobytes() for x in source.images}
    np.testing.assert_array_equal(first, chosen(0))
    assert (first != chosen(1)).any()
    assert sum(len(block.images) for block in views.real(source, 54, seed=0)) == 53


def test_real_views_are_kept_and_made_anew_if_anything_changes(net, source, folder):
    mesh = parallel.make_mesh(1)

    def refer(net=net, source=source, count=20, seed=0):
        return views.reference(net, source, count, seed=seed, mesh=mesh)

    first = refer()
    (file,) = folder.iterdir()
    again = refer()
    np.testing.assert_array_equal(first.features, again.features)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert list(folder.iterdir()) == [file]
    # A kept view is read, not made.
    with np.load(file) as kept:
        arrays_there = dict(kept)
    np.savez(file, **(arrays_there | {"features": arrays_there["features"] + 1}))
    np.testing.assert_array_equal(refer().features, first.features + 1)
    others = {
        "damaged": lambda: file.write_bytes(b"damaged"),
        "empty": lambda: file.write_bytes(b""),
        "an array": lambda: file.write_bytes(b"\x93NUMPY\x01\x00" + bytes(99)),
        "fewer": lambda: np.savez(file, **{k: x[:3] for k, x in arrays_there.items()}),
        "double": lambda: np.savez(file, **(arrays_there | {"logits": np.zeros((20, 4))})),
        "narrow": lambda: np.savez(file, **(arrays_there | {"features": np.zeros((20, 3), "f4")})),
        "no labels": lambda: np.savez(file, features=first.features, logits=first.logits),
        "no marks": lambda: np.savez(
            file, **{k: x for k, x in arrays_there.items() if k != "marks"}
        ),
        "not finite": lambda: np.savez(file, **(arrays_there | {"logits": first.logits * np.nan})),
    }
    for name, write in others.items():
        write()
        again = refer()
        for part in ("features", "logits", "labels", "marks"):
            np.testing.assert_array_equal(getattr(again, part), getattr(first, part), name)
    changed = source.images.copy()
    changed[:, 0, 0, 0] ^= 1
    import dataclasses

    refer(source=dataclasses.replace(source, images=changed))
    refer(net=dataclasses.replace(net, weights="4567"))
    refer(seed=1)
    refer(count=21)
    assert len(list(folder.iterdir())) == 5


@pytest.mark.parametrize("classes", [(), tuple("abc")])
def test_generated_images_are_those_of_the_sampler_on_any_devices(net, classes, monkeypatch):
    module = dcgan.Generator(image_size=8, stem_features=4, features=(4,))
    inputs = (jnp.zeros((1, 5)), *([jnp.zeros((1, 3))] if classes else []))
    state = create_net(jax.random.key(0), module, inputs, optax.sgd(0.1))
    sampler = Sampler(state, latent_dim=5, classes=classes, image_shape=(8, 8, 3), step=0)
    expected = sampler.sample(10, seed=3).astype(int)
    for devices in (1, 4):
        monkeypatch.setattr(views, "BLOCK", 4)
        mesh = parallel.make_mesh(devices)
        blocks = list(views.generated(sampler, 10, seed=3, mesh=mesh))
        images = np.concatenate([np.asarray(block.images) for block in blocks]).astype(int)
        np.testing.assert_allclose(images, expected, atol=1)  # a value on the edge of two levels
        if classes:
            labels = np.concatenate([block.labels for block in blocks])
            np.testing.assert_array_equal(labels, np.arange(10) % 3)
