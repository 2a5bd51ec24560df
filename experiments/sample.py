"""Samples a trained generator: a grid, an interpolation, or an array of any length.

Of a CycleGAN it shows, in one picture, what the two generators make of the test images.

python -m experiments.sample --workdir=runs/digits --num=64 --out=samples.png
python -m experiments.sample --workdir=runs/digits --classes=3,3,5 --out=chosen.png
python -m experiments.sample --workdir=runs/digits --interpolate=1,2 --out=path.png
python -m experiments.sample --workdir=runs/digits --num=50000 --out=samples.npz
"""

import math
from pathlib import Path

from absl import flags

from experiments import cli

_WORKDIR = cli.define_path("workdir", None, "The folder of the run whose generator is sampled.")
_OUT = cli.define_path("out", None, "The file to write: .png for a picture, .npz for arrays.")
_NUM = flags.DEFINE_integer(
    "num",
    None,
    "How many images to make; by default 64, or one for each entry of --classes.",
    lower_bound=1,
)
_CLASSES = flags.DEFINE_list(
    "classes", None, "The classes of the images, by name or number; the list repeats to --num."
)
_SEED = cli.define_seed(0, "The seed that the latent vectors are drawn with.")
_STEP = cli.define_step()
_INTERPOLATE = flags.DEFINE_list(
    "interpolate",
    None,
    "Two seeds, e.g. 1,2: the images go from the latent vectors of one to those of the other.",
)
_STEPS = flags.DEFINE_integer(
    "steps", 10, "How many images an interpolation has, both ends included.", lower_bound=2
)
flags.mark_flags_as_required(["workdir", "out"])


def main() -> None:
    from gans import load
    from gans.core.types import Latent
    from gans.errors import UserError
    from gans.runs import run_folder

    out = _OUT.value
    if out.suffix not in (".png", ".npz"):
        raise UserError(f"--out={out} must end in .png for a picture or .npz for arrays.")
    if not isinstance(run_folder.experiment(_WORKDIR.value).game.makes, Latent):
        _save_translations(out)
        return
    sampler = load(_WORKDIR.value, step=_STEP.value)
    if _INTERPOLATE.value is not None:
        _save_interpolation(sampler, out)
    elif out.suffix == ".npz":
        _save_arrays(sampler, out)
    else:
        _save_grid(sampler, out)
    print(f"{out}: from step {sampler.step:,} of {_WORKDIR.value}")


def _save_translations(out: Path) -> None:
    """The picture that training shows, of a checkpoint."""
    from gans.errors import UserError
    from gans.files import writing
    from gans.inference import translating

    given = [flag.name for flag in (_NUM, _CLASSES, _INTERPOLATE) if flag.value is not None]
    if given or out.suffix != ".png":
        raise UserError(
            "A CycleGAN has no latent vectors and classes: give --out=NAME.png alone for a picture "
            "of its test images, or use experiments.translate for your own."
        )
    workdir = _WORKDIR.value
    picture, step = translating.of_test_images(workdir, step=_STEP.value)
    writing.save_picture(out, picture)
    print(f"{out}: from step {step:,} of {workdir}")


def _count() -> int:
    return _NUM.value or (len(_CLASSES.value) if _CLASSES.value else 64)


def _save_grid(sampler, out: Path) -> None:
    from gans.files import writing
    from gans.inference import grids

    count = _count()
    images = sampler.sample(count, seed=_SEED.value, classes=_CLASSES.value)
    numbers = sampler.class_numbers(_CLASSES.value)
    # Where a row can hold each class once, a column is a class and carries its name.
    if numbers is not None and len(numbers) <= 16:
        columns, labels = len(numbers), [sampler.classes[i] for i in numbers]
    else:
        columns, labels = math.ceil(math.sqrt(count)), ()
    writing.save_picture(out, grids.grid(images, columns, labels=labels))


def _save_interpolation(sampler, out: Path) -> None:
    from gans.errors import UserError
    from gans.files import writing
    from gans.inference import grids

    ends = _INTERPOLATE.value
    if len(ends) != 2 or not all(end.lstrip("-").isdecimal() for end in ends):
        raise UserError(f"--interpolate={','.join(ends)} must be two seeds, as in 1,2.")
    if out.suffix != ".png":
        raise UserError(f"An interpolation is a picture: --out={out} must end in .png.")
    seeds = (int(ends[0]), int(ends[1]))
    images = sampler.interpolate(seeds, _STEPS.value, classes=_CLASSES.value)
    writing.save_picture(out, grids.grid(images, _STEPS.value))


def _save_arrays(sampler, out: Path) -> None:
    from tqdm import tqdm

    from gans.files import writing

    count = _count()
    with tqdm(total=count, unit="image", disable=None) as bar:

        def blocks():
            for block in sampler.stream(count, seed=_SEED.value, classes=_CLASSES.value):
                yield block
                bar.update(len(block["images"]))

        writing.save_npz(out, count, sampler.image_shape, blocks())


if __name__ == "__main__":
    cli.run(main)
