"""Pictures of any size through a generator: their own size, no seams, the whole's moments."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import gans
from gans.config import schema
from gans.core.state import create_net
from gans.errors import UserError
from gans.inference import norm_statistics
from gans.inference.translating import Translator
from gans.models import layers, resnet, unet


class Inverse(nn.Module):
    """Negates its image: a network whose output is known at every pixel."""

    channels: int = 3
    multiple = 4

    @nn.compact
    def __call__(self, image, *, train):
        assert image.shape[-1] == self.channels
        layers.check_multiple(image, self.multiple)
        return image * self.param("scale", nn.initializers.constant(-1.0), ())


def translator(module, *, image_size=64, channels=3, tile=None, patch=None, overlap=None):
    image = jnp.zeros((1, image_size, image_size, channels))
    start = jax.jit(lambda key: create_net(key, module, (image,), optax.sgd(0.1)))
    net = start(jax.random.key(0))
    made = Translator(net, channels=channels, multiple=module.multiple, image_size=image_size)
    if tile is not None:
        made.tile, made.at_once = tile, 0
    made.patch = patch or made.patch
    made.overlap = overlap or made.overlap
    return made


def output(net, image):
    """What a network makes of uint8 `[H, W, C]`."""
    call = jax.jit(lambda net, image: net(image[None] / 127.5 - 1, train=False)[0][0])
    return np.asarray(call(net, jnp.asarray(image)))


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def scene(height, width):
    """A smooth dark sky over bright, colourful ground: no part has the moments of the whole."""
    y, x = np.mgrid[:height, :width]
    sky = np.stack([0.1 * x, 0.2 * x, 40 + 0.3 * y], -1)
    ground = 120 + 100 * np.sin(x / 3)[..., None] * np.sin(y / 4)[..., None]
    ground = ground * [1.1, 0.9, 0.4] + noise(height, width, 3) * 0.1
    return np.clip(np.where((y > 0.5 * height)[..., None], ground, sky), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def residual():
    """A ResNet whose output has the contrast of a picture."""
    made = translator(resnet.Generator(features=4, blocks=2), tile=96, patch=96, overlap=48)
    last = made.net.params["Conv_3"]
    params = {**made.net.params, "Conv_3": {**last, "kernel": last["kernel"] * 2}}
    made.net = made.net.replace(params=params)
    return made


def untiled(like):
    return Translator(like.net, channels=3, multiple=like.multiple, image_size=64)


@pytest.mark.parametrize("tile", [None, 512])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (37, 1021), (5, 3), (513, 700)])
def test_a_picture_of_any_size_keeps_it_and_each_pixel_is_painted_once(size, tile):
    image = noise(*size, 3)
    np.testing.assert_array_equal(translator(Inverse(), tile=tile).translate(image), 255 - image)


@pytest.mark.parametrize("size", [(16, 16), (20, 16)])
def test_a_small_u_net_is_given_pictures_of_the_size_it_was_trained_on_as_they_are(size):
    # Its innermost map is 4 pixels wide then, as in training.
    module = unet.PaperGenerator(features=(4, 4), dropout=0.0, upsampling="resize")
    made, picture = translator(module, image_size=16), noise(*size, 3)
    painted, _ = made.net(jnp.asarray(picture)[None] / 127.5 - 1, train=False)
    expected = (np.asarray(painted)[0] + 1) * 127.5
    np.testing.assert_allclose(made.translate(picture), expected, atol=0.51)


@pytest.mark.parametrize("size, steps", [((600, 80), 1), ((600, 88), 3), ((1600, 1), 5)])
def test_a_small_picture_is_given_as_it_is_counting_what_it_is_extended_by(size, steps):
    calls, made = [], translator(Inverse(), tile=512)
    made.at_once = 600 * 80
    made.patch = 512
    made.translate(noise(*size, 3), progress=lambda *call: calls.append(call))
    assert len(calls) == steps


def test_a_u_net_sees_tiles_of_the_size_of_its_training_images_alone():
    class Sized(Inverse):
        multiple = 32

        def __call__(self, image, *, train):
            assert image.shape[1:] == (64, 64, 3)
            return super().__call__(image, train=train)

    for size in ((1, 1), (64, 64), (70, 131)):
        image = noise(*size, 3)
        np.testing.assert_array_equal(translator(Sized()).translate(image), 255 - image)


def test_a_picture_that_fits_into_a_tile_is_the_network_s_of_it_extended_by_reflection():
    made = translator(resnet.Generator(features=4, blocks=1))
    image = noise(45, 63, 3)
    extended = np.pad(image, ((0, 3), (0, 1), (0, 0)), mode="reflect")
    expected = output(made.net, extended)
    expected = (expected[:45, :63] + 1) * 127.5
    np.testing.assert_allclose(made.translate(image), expected, atol=0.51)


def test_tiles_show_what_the_whole_picture_does_to_less_than_a_grey_level(residual, monkeypatch):
    image = scene(160, 200)
    expected = untiled(residual).translate(image).astype(float)
    assert expected.std() > 20

    def error():
        return np.abs(residual.translate(image) - expected).mean()

    assert error() < 0.5
    monkeypatch.setattr(norm_statistics, "_AT_ONCE", 96 * 96 * 3)  # of 15 patches
    assert error() < 1
    monkeypatch.setattr(norm_statistics, "_ROUNDS", 0)  # the sample as it is
    assert error() > 1
    monkeypatch.setattr(
        norm_statistics.Estimate, "run", lambda self, report: {}
    )  # each tile by its own
    assert error() > 5


def test_a_real_u_net_translates_a_picture_larger_than_its_training_images():
    made = translator(unet.Generator(features=(4, 4, 4)), image_size=8)
    image = scene(20, 13)
    painted = made.translate(image)
    assert painted.shape == image.shape and painted.dtype == np.uint8
    np.testing.assert_array_equal(made.translate(image), painted)  # nothing is dropped
    expected = (output(made.net, image[:8, :8]) + 1) * 127.5
    np.testing.assert_allclose(made.translate(image[:8, :8]), expected, atol=0.51)


def test_pictures_of_all_kinds_come_upright_and_opaque():
    made = translator(Inverse())
    rgb = noise(6, 9, 3)
    np.testing.assert_array_equal(made.translate(Image.fromarray(rgb)), 255 - rgb)
    grey = rgb[..., 0]
    for same in (grey, grey[..., None], Image.fromarray(grey)):
        np.testing.assert_array_equal(made.translate(same), 255 - grey[..., None].repeat(3, -1))
    rgba = np.dstack([rgb, np.where(np.arange(9) < 4, 0, 255)[None].repeat(6, 0)]).astype(np.uint8)
    on_white = np.where(rgba[..., 3:] == 0, 255, rgb)
    np.testing.assert_array_equal(made.translate(rgba), 255 - on_white)
    turned = Image.fromarray(rgb)
    turned.getexif()[0x0112] = 6  # to be turned by 90 degrees clockwise
    np.testing.assert_array_equal(made.translate(turned), 255 - np.rot90(rgb, -1))


def test_a_grey_generator_makes_grey_pictures():
    made = translator(Inverse(channels=1), channels=1)
    grey = noise(7, 600, 1)
    np.testing.assert_array_equal(made.translate(grey), 255 - grey)
    np.testing.assert_array_equal(made.translate(grey.repeat(3, -1)), 255 - grey)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)]
)
def test_an_array_that_is_no_picture_is_refused(wrong):
    with pytest.raises(UserError, match=r"uint8 \[H, W, C\]"):
        translator(Inverse()).translate(wrong)


def test_progress_counts_every_tile_to_the_end():
    calls = []
    translator(Inverse(), tile=512).translate(
        noise(600, 600, 3), progress=lambda done, total: calls.append((done, total))
    )
    total = len(calls)
    assert calls == [(i + 1, total) for i in range(total)] and total >= 4


def test_the_averaged_parameters_are_used_where_they_are_kept():
    module = Inverse()
    net = create_net(jax.random.key(0), module, (jnp.zeros((1, 8, 8, 3)),), optax.sgd(0.1), 0.9)
    net = net.replace(ema_params={"scale": jnp.float32(0)})
    made = Translator(net, channels=3, multiple=4, image_size=64)
    assert (made.translate(noise(9, 9, 3)) == 128).all()  # 127.5, rounded to even


def test_a_trained_run_translates_both_ways_in_three_lines(cycle_run):
    image = noise(40, 33, 3)
    ways = {}
    for direction in ("a_to_b", "b_to_a"):
        made = gans.load_translator(cycle_run, direction=direction)
        assert (made.channels, made.multiple, made.step) == (3, 4, 4)
        ways[direction] = made.translate(image)
        assert ways[direction].shape == image.shape
    assert (ways["a_to_b"] != ways["b_to_a"]).any()
    older = gans.load_translator(cycle_run, direction="b_to_a", step=2)
    assert older.step == 2 and (older.translate(image) != ways["b_to_a"]).any()


def test_what_cannot_be_loaded_is_named(cycle_run, tmp_path, config):
    with pytest.raises(UserError, match="direction is 'b2a': give one of a_to_b, b_to_a"):
        gans.load_translator(cycle_run, direction="b2a")
    with pytest.raises(UserError, match="There is no run in"):
        gans.load_translator(tmp_path)
    with pytest.raises(UserError, match="available: 2, 4"):
        gans.load_translator(cycle_run, step=3)
    from gans.files import writing

    writing.write_json(tmp_path / "config.json", schema.to_plain(config))
    with pytest.raises(UserError, match="translates no images: use gans.load"):
        gans.load_translator(tmp_path)
