"""Turns photographs into paintings, or the other way, with a generator trained by CycleGAN.

    python -m experiments.translate --workdir=runs/monet --direction=b_to_a --out=painted \\
        holiday.jpg photos/ 'more/*.png'
    python -m experiments.translate --workdir=runs/monet --resize=800 --out=painted photos/
    python -m experiments.translate --workdir=runs/monet --postcard --out=cards photos/

Arguments are pictures, folders, of which the sub-folders are not searched, and patterns. Each
picture becomes a PNG of its name in --out, at its own size. Nothing is overwritten but what
this command has made: where the name is taken, `_2` and so on is appended to it.

Brush strokes have the width that they had in training, in pixels. So a large photograph
hardly shows them: --resize makes its longer side as long as given before it is translated.

--postcard makes an A6 card for print, 300 dpi with 3 mm of bleed on each side, as PNG and as
PDF. The photograph is first resized to just the pixels that the card needs; with --resize, to
what that says, and the painting is enlarged. Of one that is very long the middle is painted.

Of pictures with several frames or pages the first is translated. Colours are those of sRGB:
pictures with another colour profile are converted.

The exit status is 1 if a picture could not be translated; the others are all the same.
"""

import glob
import itertools
import os
import sys
from pathlib import Path

from absl import flags

from experiments import cli

_WORKDIR = cli.define_path("workdir", None, "The folder of the run whose generator translates.")
_DIRECTION = flags.DEFINE_string("direction", "b_to_a", "Which way to translate: a_to_b or b_to_a.")
_OUT = cli.define_path("out", None, "The folder to write the translated pictures to.")
_RESIZE = flags.DEFINE_integer(
    "resize",
    0,
    "Pixels that a picture's longer side is resized to before translation; 0 keeps its size.",
    lower_bound=0,
)
_MEGAPIXELS = flags.DEFINE_float(
    "max_megapixels",
    256.0,
    "The largest picture that is translated, in megapixels; larger ones are left out.",
    lower_bound=0.0,
)
_POSTCARD = flags.DEFINE_bool(
    "postcard", False, "Lay each picture out as an A6 card for print, as PNG and PDF."
)
_STEP = cli.define_step()
flags.mark_flags_as_required(["workdir", "out"])

_MAKER = "gans.translate"
_ENDS = 4096  # bytes of a file's beginning and end in which its maker is looked for
_STEM = 200  # bytes of a picture's name that its painting has at most; a file's may have 255


def main(arguments: list[str]) -> int:
    from tqdm import tqdm

    from gans import load_translator
    from gans.data.io import opening
    from gans.files.paths import readable

    limit = _MEGAPIXELS.value
    opening.check_limit(limit)
    sources = _find(arguments)
    out = _folder(_OUT.value)
    translator = load_translator(_WORKDIR.value, direction=_DIRECTION.value, step=_STEP.value)
    failed, moving = {}, []
    with tqdm(total=len(sources), unit="picture", disable=None) as bar:
        for source, target in zip(sources, _targets(sources, out), strict=True):
            try:
                _translate(translator, source, target, bar)
                moving += [source] if opening.is_animated(source, limit) else []
            except opening.UnreadableImage as error:
                failed[source] = error
            bar.update()
    print(
        f"{len(sources) - len(failed)} of {len(sources)} pictures are in {readable(out)}, "
        f"{_DIRECTION.value} by step {translator.step:,} of {readable(_WORKDIR.value)}"
    )
    for source in moving:
        print(f"{readable(source)} has several frames: the first is translated", file=sys.stderr)
    for source, error in failed.items():
        print(f"{readable(source)} cannot be read: {error}", file=sys.stderr)
    return 1 if failed else 0


def _translate(translator, source: Path, target: Path, bar) -> None:
    from PIL import Image

    from gans.data.io import images
    from gans.files import writing
    from gans.files.paths import readable
    from gans.inference import postcard

    picture = images.read(source, translator.channels, _MEGAPIXELS.value)
    if _POSTCARD.value:
        picture = picture.crop(postcard.part(picture.size))
    if _RESIZE.value:
        picture = _resized(picture, _within(picture.size, _RESIZE.value))
    elif _POSTCARD.value:
        picture = _resized(picture, postcard.covering(picture.size))

    def progress(done: int, total: int) -> None:
        bar.set_postfix_str(f"{readable(source.name)}, tile {done} of {total}")

    pixels = translator.translate(picture, progress=progress)
    painted = Image.fromarray(pixels[..., 0] if translator.channels == 1 else pixels)
    dpi = None
    if _POSTCARD.value:
        painted, dpi = postcard.lay_out(painted), postcard.DPI
        with writing.atomic(target.with_suffix(".pdf")) as file:
            file.write(postcard.pdf(painted, _MAKER))
    writing.save_picture(target, painted, dpi=dpi, text={"Software": _MAKER})


def _resized(picture, size: tuple[int, int]):
    from PIL import Image

    from gans.data.io.opening import UnreadableImage

    if size[0] * size[1] > _MEGAPIXELS.value * 1e6:
        raise UnreadableImage(
            f"resized to {size[0]} x {size[1]} pixels it has more than "
            f"max_megapixels={_MEGAPIXELS.value:g} allows"
        )
    return picture.resize(size, Image.Resampling.LANCZOS)


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Width and height in the same proportion, the longer being `longest`."""
    return tuple(max(1, round(side * longest / max(size))) for side in size)


def _find(arguments: list[str]) -> list[Path]:
    """The pictures that the arguments name, each once."""
    from gans.errors import UserError
    from gans.files import paths

    if not arguments:
        raise UserError("No picture is named: give files, folders or patterns after the flags.")
    found = [path for argument in arguments for path in _find_one(paths.expanded(argument))]
    # Unlike Path.resolve, it can be asked about links that lead in a circle.
    return list({os.path.realpath(path): path for path in reversed(found)}.values())[::-1]


def _find_one(path: Path) -> list[Path]:
    from gans.errors import UserError
    from gans.files.paths import readable

    if os.path.isdir(path):
        return _find_in(path)
    if os.path.lexists(path):
        return [path]
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    if pictures := [match for match in matches if not os.path.isdir(match)]:
        return pictures
    raise UserError(
        f"There is no picture or folder {readable(path)}, and none matches it as a pattern."
    )


def _find_in(folder: Path) -> list[Path]:
    from gans.data.io import image_files
    from gans.data.io.leftout import LeftOut
    from gans.errors import UserError
    from gans.files.paths import readable

    left_out = LeftOut()
    try:
        pictures = image_files.loose_images(folder, left_out)
    except OSError as error:
        raise UserError(
            f"Cannot list the pictures of {readable(folder)}: {error.strerror}."
        ) from error
    if not pictures:
        raise UserError(
            f"{readable(folder)} holds no pictures{left_out.clause}; those in its sub-folders are "
            "not looked for."
        )
    if str(left_out):
        print(f"{readable(folder)}: {left_out}", file=sys.stderr)
    return pictures


def _folder(out: Path) -> Path:
    from gans.errors import UserError

    if out.exists() and not out.is_dir():
        raise UserError(f"--out={out} is a file; give a folder.")
    return out


def _targets(sources: list[Path], out: Path) -> list[Path]:
    """A PNG for each picture; no picture given, no file of another one, and none of other make."""
    taken, targets = {_key(source) for source in sources}, []
    for source in sources:
        stem = _shortened(source.stem)
        names = (f"{stem}_{n}" if n > 1 else stem for n in itertools.count(1))
        files = (out / f"{name}.png" for name in names)
        targets.append(next(file for file in files if _key(file) not in taken and _may_make(file)))
        taken.add(_key(targets[-1]))
    return targets


def _key(path: Path) -> str:
    """The same for all names of one file, on disks too that make no difference of case."""
    return os.path.realpath(path).casefold()


def _shortened(stem: str) -> str:
    while len(os.fsencode(stem)) > _STEM:
        stem = stem[:-1]
    return stem


def _may_make(target: Path) -> bool:
    """Whether there are no such files, or only such as this command has made."""
    made = [target, target.with_suffix(".pdf")] if _POSTCARD.value else [target]
    return all(not os.path.lexists(path) or _is_ours(path) for path in made)


def _is_ours(path: Path) -> bool:
    """Whether a file names this command as its maker, as a PNG does at its beginning and a PDF at
    its end.
    """
    try:
        if not path.is_file():  # a pipe, say, would keep whoever opens it waiting
            return False
        with path.open("rb") as file:
            head = file.read(_ENDS)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _ENDS))
            return _MAKER.encode() in head + file.read()
    except OSError:
        return False


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
