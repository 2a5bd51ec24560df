"""Whole runs of CycleGAN's small form, with dropout and a pool that swaps."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from gans.data import arrays, photographs
from gans.errors import UserError
from gans.games.cycle import D_TERMS, G_TERMS
from gans.training import train

STEPS, SIZE = 10, 8


@pytest.fixture(scope="module")
def config():
    from configs import cyclegan_monet2photo

    config = cyclegan_monet2photo.get_config("test")
    config.update_from_flattened_dict(
        {
            "mesh.data": 1,
            "data.image_size": SIZE,
            "data.load_size": 12,
            "data.test_images": 2,
            "nets.generator_ab.features": (4, 4),
            "game.pool_size": 3,
            "train.num_steps": STEPS,
            "train.sample_every": 4,
            "checkpoint.every_steps": 4,
        }
    )
    return config


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """An uninterrupted run, with its final state."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train.run(config, workdir)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def numbers(tree):
    """Every array under its path, keys as their integers."""
    out = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        out[jax.tree_util.keystr(path)] = np.asarray(leaf)
    return out


def assert_same_bits(one, two):
    one, two = numbers(one), numbers(two)
    assert one.keys() == two.keys()
    for path in one:
        np.testing.assert_array_equal(one[path], two[path], err_msg=path)


def test_two_halves_equal_the_whole_bit_for_bit_with_pool_and_dropout(config, whole, tmp_path):
    assert config.nets.generator_ab.dropout == 0.5
    half = config.copy_and_resolve_references()
    half.train.num_steps = STEPS // 2  # in the middle of a chunk of 2
    before = train.run(half, tmp_path)
    after = train.run(config, tmp_path)
    assert_same_bits(after, whole[1])
    # The pools were full by then, went on swapping, and kept some.
    for name, pool in after.memory.items():
        was, now = (np.asarray(p.images).reshape(3, -1) for p in (before.memory[name], pool))
        assert int(pool.count) == int(before.memory[name].count) == 3
        assert (was != now).any(), name


def test_the_run_folder_holds_every_term_and_a_picture_of_translations(whole):
    workdir, _ = whole
    logged = lines(workdir)
    assert [line["step"] for line in logged] == [2, 4, 6, 8, 10]
    for line in logged:
        g = {name: line[f"generators/{name}"] for name in G_TERMS}
        weights = {"adversarial": 1.0, "cycle": 10.0, "identity": 5.0}
        weighted = {name: weights[name.split("_")[0]] * value for name, value in g.items()}
        for name, value in weighted.items():
            assert line[f"generators/{name}_weighted"] == pytest.approx(value, rel=1e-5)
        d = {name: line[f"discriminators/{name}"] for name in D_TERMS}
        for name, value in d.items():
            got = line[f"discriminators/{name}_weighted"]
            assert got == pytest.approx(0.5 * value, rel=1e-5)
        assert line["g_loss"] == pytest.approx(sum(weighted.values()), rel=1e-5)
        assert line["d_loss"] == pytest.approx(0.5 * sum(d.values()), rel=1e-5)
        assert line["cycle"] == pytest.approx((g["cycle_a"] + g["cycle_b"]) / 2, rel=1e-5)
        assert line["identity"] == pytest.approx((g["identity_a"] + g["identity_b"]) / 2, rel=1e-5)
        assert line["epoch"] == pytest.approx(line["step"] / 200)
    # How fast it goes is known from the second line on.
    assert all(0.0 <= line["data_wait"] <= 1.0 for line in logged[1:])

    pictures = sorted((workdir / "samples").iterdir())
    assert [path.name[-6:-4] for path in pictures] == ["04", "08", "10"]
    for path in pictures:
        with Image.open(path) as picture:
            # Eight columns of two images of 8 pixels, enlarged to 128, with gaps of 2; a title
            # and labels above.
            assert picture.size == (8 * (128 + 2) + 2, 2 * (128 + 2) + 2 + 2 * 18)
    with Image.open(workdir / "samples.gif") as animation:
        assert animation.n_frames == 3
    noted = json.loads((workdir / "data.json").read_text())
    assert (noted["domains"], noted["domain_sizes"]) == (["temple", "flower"], [200, 200])


def test_both_domains_are_shown_as_they_are_in_the_first_column_of_four(config, whole):
    workdir, _ = whole
    options = {name: config.data[name] for name in ("image_size", "load_size", "channels")}
    data = photographs.load(**options, resize="nearest", flip=True, test_images=2)
    picture = np.asarray(Image.open(sorted((workdir / "samples").iterdir())[-1]))
    for column, domain in ((0, "a"), (4, "b")):
        for row in range(2):
            top, left = 2 * 18 + 2 + row * 130, 2 + column * 130
            cell = picture[top : top + 128 : 16, left : left + 128 : 16]
            np.testing.assert_array_equal(cell, data.test[domain][row])


def test_images_of_one_domain_are_refused(config, tmp_path):
    images = np.zeros((4, SIZE, SIZE, 3), np.uint8)
    with pytest.raises(UserError, match="cycle.game .* 'a', .* 'image'; .*two domains"):
        train.run(config, tmp_path / "run", source=arrays.source(images))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("data.image_size", 10, "The networks do not fit: .* 10x10 .* multiples of 4"),
        ("nets.discriminator_a.depth", 3, "The networks do not fit: .* too small .* depth 3"),
        ("nets.discriminator_b.depth", 8, "The networks do not fit: "),
        ("nets.generator_ba.upsampling", "bilinear", "The networks do not fit: .*'bilinear'"),
        ("game.pool_size", -1, "game.pool_size is -1; it must be a whole number from 0"),
        ("data.batch_size", 0, "data.batch_size is 0; it must be a whole number from 1"),
        ("data.test_images", 0, "data.test_images is 0"),
        ("data.load_size", 7, "load_size is 7, smaller than the crops of 8"),
        ("data.labels", True, "Unpaired images have no labels: set data.labels to False"),
        ("data.resize", "cubic", "cubic"),
        ("data.name", "digits", "data.name needs split, which this config does not have"),
        (
            "preview.name",
            "cycle.Translation",
            "There is no gans.inference.previews.cycle.Translation",
        ),
        ("preview.name", "latent.Grid", "preview.name needs rows, columns, which"),
        ("game.name", "latent.joint", "game.name .* 'pool_size'"),
        ("loss.adversarial", "least_square", "No adversarial loss is called 'least_square'"),
        ("nets.generator_ab.name", "unet.Unet", "There is no gans.models.unet.Unet"),
        ("optim.generator_ba.ema_decay", 1.0, "optim.generator_ba.ema_decay is 1.0"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence_before_a_run_folder_is_made(
    config, tmp_path, path, value, message
):
    wrong = config.copy_and_resolve_references()
    wrong.update_from_flattened_dict({path: value})
    with pytest.raises(UserError, match=message) as error:
        train.run(wrong, tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()
