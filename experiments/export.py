"""Writes a trained generator into one file that jax alone can run: see `gans.inference.export`.

python -m experiments.export --workdir=runs/digits --out=generator.zip
python -m experiments.export --workdir=runs/monet --direction=b_to_a --out=painter.zip
"""

from absl import flags

from experiments import cli

_WORKDIR = cli.define_path("workdir", None, "The folder of the run whose generator is exported.")
_OUT = cli.define_path("out", None, "The .zip file to write.")
_DIRECTION = flags.DEFINE_string(
    "direction", None, "Which translation of a CycleGAN to export: a_to_b or b_to_a."
)
_STEP = cli.define_step()
flags.mark_flags_as_required(["workdir", "out"])


def main() -> None:
    """Exports, and says what the file takes and gives."""
    from gans.errors import UserError
    from gans.inference import export

    if _OUT.value.suffix != ".zip":
        raise UserError(f"--out={_OUT.value} must end in .zip.")
    made = export.export(_WORKDIR.value, direction=_DIRECTION.value, step=_STEP.value)
    export.save(_OUT.value, made)
    takes, gives = ", ".join(made.about["takes"]), ", ".join(made.about["gives"])
    print(f"{_OUT.value}: takes {takes}; gives {gives}")


if __name__ == "__main__":
    cli.run(main)
