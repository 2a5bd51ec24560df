"""Half of the images are mirrored where a data set is asked to, and none where it is not."""

import jax
import numpy as np
import pytest
from PIL import Image

from gans.data import digits, flips, folder
from gans.data.pipeline import make_pipeline

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 6, 3)).astype(np.uint8)


def test_half_of_the_images_are_mirrored_left_and_right():
    keys = jax.random.split(jax.random.key(0), 400)
    made = np.asarray(jax.vmap(lambda key: flips.mirrored(IMAGE, key))(keys))
    mirrored = (made == IMAGE[:, ::-1]).all(axis=(1, 2, 3))
    assert ((made == IMAGE).all(axis=(1, 2, 3)) ^ mirrored).all()
    # The deviation of the share is 0.025.
    assert made.dtype == np.uint8 and mirrored.mean() == pytest.approx(0.5, abs=0.1)


def test_only_a_source_that_is_asked_to_flips():
    fields = {"split": "train[:16]", "image_size": 8, "channels": 1}
    plain, flipped = digits.load(**fields), digits.load(**fields, flip=True)
    assert plain.augment is None and flipped.augment is flips.mirrored
    np.testing.assert_array_equal(plain.images, flipped.images)  # what evaluators see
    pipelines = (
        make_pipeline(source, batch_size=16, seed=0, labels=True, resident_mib=1)
        for source in (plain, flipped)
    )
    batches = []
    for pipeline in pipelines:
        (feed,) = pipeline.feeds(0, [1])
        row = jax.tree.map(lambda x: x[0], feed)
        batches.append(pipeline.batch(pipeline.resident, row))
    once, other = (np.asarray(batch["image"]) for batch in batches)
    np.testing.assert_array_equal(batches[0]["label"], batches[1]["label"])
    is_kept = (once == other).all(axis=(1, 2, 3))
    is_mirrored = (once[:, :, ::-1] == other).all(axis=(1, 2, 3))
    assert (is_kept | is_mirrored).all() and 0 < is_mirrored.sum() < 16


def test_a_folder_flips_if_asked(tmp_path):
    Image.fromarray(IMAGE).save(tmp_path / "one.png")
    fields = {"data_dir": str(tmp_path), "split": "train", "image_size": 4, "channels": 3}
    for flip in (False, True):
        source = folder.load(**fields, unreadable="fail", flip=flip)
        assert source.augment is flips.augment(flip)
