import io

import numpy as np
import pytest
from PIL import Image

from gans.data.io import images
from gans.data.io.opening import UnreadableImage
from gans.errors import UserError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (16, 16, 3), np.uint8)
GREY = RNG.integers(0, 256, (16, 16), np.uint8)


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    buffer.seek(0)
    return buffer


def decode(image, kind="PNG", channels=3, image_size=16, **options):
    return images.decode(encode(image, kind, **options), image_size=image_size, channels=channels)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_rgb_of_the_right_size_is_untouched(kind):
    np.testing.assert_array_equal(decode(Image.fromarray(RGB), kind), RGB)


def test_webp_without_loss_is_untouched():
    np.testing.assert_array_equal(decode(Image.fromarray(RGB), "WEBP", lossless=True), RGB)


def test_grey_and_rgb_convert_into_each_other():
    np.testing.assert_array_equal(
        decode(Image.fromarray(GREY)), np.repeat(GREY[..., None], 3, axis=-1)
    )
    np.testing.assert_array_equal(decode(Image.fromarray(GREY), channels=1)[..., 0], GREY)
    # The weights of ITU-R BT.601.
    np.testing.assert_allclose(
        decode(Image.fromarray(RGB), channels=1)[..., 0], RGB @ [0.299, 0.587, 0.114], atol=1
    )


def test_transparency_shows_white():
    rgba = np.dstack([RGB, np.full((16, 16), 255, np.uint8)])
    rgba[:8, :, 3] = 0
    rgba[8, :, 3] = 128
    out = decode(Image.fromarray(rgba))
    assert (out[:8] == 255).all()
    np.testing.assert_allclose(out[8], 255 - (255.0 - RGB[8]) * 128 / 255, atol=1)
    np.testing.assert_array_equal(out[9:], RGB[9:])


def test_transparency_of_grey_images_shows_white():
    alpha = np.full((16, 16), 255, np.uint8)
    alpha[0] = 0
    out = decode(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(alpha)]), channels=1)
    assert (out[0] == 255).all()
    np.testing.assert_array_equal(out[1:, :, 0], GREY[1:])


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palettes_are_resolved(kind):
    index = (np.arange(256).reshape(16, 16) % 3).astype(np.uint8)
    palette = np.array([[250, 10, 20], [30, 240, 50], [60, 70, 230]], np.uint8)
    image = Image.fromarray(index)
    image.putpalette(palette.tobytes())
    np.testing.assert_array_equal(decode(image, kind), palette[index])
    clear = decode(image, kind, transparency=1)
    np.testing.assert_array_equal(clear[index == 1], 255)
    np.testing.assert_array_equal(clear[index == 2], palette[index][index == 2])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind):
    deep = GREY.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(Image.fromarray(deep), kind, channels=1)[..., 0], GREY)
    faint = np.full((16, 16), 1000, np.uint16)
    assert (decode(Image.fromarray(faint), kind, channels=1) == 4).all()  # 1000 / 257 = 3.9


def test_cmyk_is_converted():
    cyan = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    np.testing.assert_allclose(decode(cyan, "JPEG")[8, 8], [0, 255, 255], atol=2)


def test_black_and_white():
    bits = GREY > 127
    np.testing.assert_array_equal(decode(Image.fromarray(bits), channels=1)[..., 0], bits * 255)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: np.rot90(a, 2)),
        (4, np.flipud),
        (5, lambda a: a.transpose(1, 0, 2)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(orientation, undo):
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(decode(Image.fromarray(RGB), exif=exif), undo(RGB))


def test_first_frame_of_an_animation_is_read():
    frames = [Image.new("L", (16, 16), level) for level in (10, 200)]
    out = decode(frames[0], "GIF", channels=1, save_all=True, append_images=frames[1:])
    assert (out == 10).all()


@pytest.mark.parametrize("wide", [True, False])
def test_the_centre_is_kept(wide):
    """Three blocks side by side: only the middle one is left, resized or not."""
    blocks = np.concatenate([np.full((16, 16), 10), RGB[..., 0], np.full((16, 16), 200)], axis=1)
    blocks = blocks.astype(np.uint8)
    middle = RGB[..., :1]
    if not wide:
        blocks, middle = blocks.T, middle.transpose(1, 0, 2)
    np.testing.assert_array_equal(decode(Image.fromarray(blocks), channels=1), middle)
    image = Image.fromarray(blocks)
    resized = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    expected = resized.crop((8, 0, 16, 8) if wide else (0, 8, 8, 16))
    np.testing.assert_array_equal(
        decode(image, channels=1, image_size=8)[..., 0], np.asarray(expected)
    )


def test_shrinking_is_antialiased():
    """A fine chessboard turns into its mean, where picking pixels would give black or white."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    out = decode(Image.fromarray(board), channels=1, image_size=16)
    assert np.abs(out.astype(int) - 127).max() <= 3


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (5, 7)])
def test_any_size_fits(size):
    out = decode(Image.new("RGB", size, (10, 20, 30)))
    assert out.shape == (16, 16, 3)
    assert (out == [10, 20, 30]).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image"),
        (b"hello", "not an image"),
        (encode(Image.fromarray(RGB)).getvalue()[:300], "(?i)truncated"),
        (encode(Image.fromarray(RGB), "JPEG").getvalue()[:500], "(?i)truncated"),
    ],
)
def test_broken_files(content, message):
    with pytest.raises(UnreadableImage, match=message):
        images.decode(io.BytesIO(content), image_size=16, channels=3)


def test_damaged_pixels_are_noticed():
    content = bytearray(encode(Image.fromarray(RGB)).getvalue())
    content[len(content) // 2] ^= 0xFF
    with pytest.raises(UnreadableImage):
        images.decode(io.BytesIO(bytes(content)), image_size=16, channels=3)


def test_pictures_above_the_limit_are_refused():
    limits = {"image_size": 16, "channels": 3, "max_megapixels": 256e-6}
    assert images.decode(encode(Image.fromarray(RGB)), **limits).shape == (16, 16, 3)
    for size in ((17, 16), (100, 100)):
        with pytest.raises(UnreadableImage, match="more than max_megapixels=0.000256 allows"):
            images.decode(encode(Image.new("RGB", size)), **limits)


def test_damaged_exif_data_turns_nothing():
    found = decode(Image.fromarray(RGB), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(found, RGB)


def test_floating_point_pixels_are_refused():
    with pytest.raises(UnreadableImage, match="floating-point"):
        decode(Image.fromarray(GREY.astype(np.float32)), "TIFF")


def test_resize_all_leaves_the_right_shape_alone():
    batch = RGB[None]
    assert images.resize_all(
        batch, image_size=16, channels=3, resample=Image.Resampling.BICUBIC
    ) is (batch)


@pytest.mark.parametrize(("image_size", "channels"), [(0, 3), (-1, 1), (8, 2), (8, 4)])
def test_check_shape(image_size, channels):
    with pytest.raises(UserError):
        images.check_shape(image_size, channels)


def keys(x):
    """Keys 1981, with a = -1/2."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def lanczos(x):
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("nearest", lambda x: (np.abs(x) < 0.5).astype(float)),
        ("bicubic", keys),
        ("lanczos", lanczos),
    ],
)
def test_filters_are_those_of_their_names(name, kernel):
    """The middle row of vertical stripes, four times as wide, against a sum over the kernel."""
    row = RNG.integers(60, 190, 16).astype(np.uint8)
    stripes = Image.fromarray(np.repeat(row[None], 16, axis=0))
    centres = (np.arange(64) + 0.5) / 4 - 0.5
    weights = kernel(centres[:, None] - np.arange(16))
    expected = weights @ row / weights.sum(axis=1)
    out = images.resize(stripes, 64, images.resampling(name))
    np.testing.assert_allclose(out[32, :, 0], expected, atol=1)


@pytest.mark.parametrize("name", ["bilinear", "", "LANCZOS"])
def test_unknown_filters_are_refused(name):
    with pytest.raises(UserError, match="choose one of nearest, bicubic, lanczos"):
        images.resampling(name)
