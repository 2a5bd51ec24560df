"""Judges a trained run by the evaluators of its config, and writes down what they found.

    python -m experiments.evaluate --workdir=runs/cgan
    python -m experiments.evaluate --workdir=runs/cgan --net=inception.load --weights= \\
        --num=50000 --split=train
    python -m experiments.evaluate --workdir=runs/cgan --every_checkpoint

Every number goes into evaluations.jsonl in the run folder with the protocol it was found by;
`experiments.compare` makes tables and pictures of them.
"""

from absl import flags

from experiments import cli

_WORKDIR = cli.define_path("workdir", None, "The run folder.")
_STEP = cli.define_step()
_ALL = flags.DEFINE_bool("every_checkpoint", False, "Judge all checkpoints that are kept.")
_NET = flags.DEFINE_string("net", None, "Another feature net: inception.load, classifier.load.")
_WEIGHTS = flags.DEFINE_string("weights", None, "Of it: a file, or a data set's name.")
_NUM = flags.DEFINE_integer("num", None, "Another number of images.", 2, 10**7)
_SPLIT = flags.DEFINE_string("split", None, "Another split to take real images from.")
_SEED = cli.define_seed(None, "Another seed of the samples.")
flags.mark_flag_as_required("workdir")


def main() -> None:
    from gans.errors import UserError
    from gans.evaluation import evaluate

    if _ALL.value and _STEP.value is not None:
        raise UserError("--every_checkpoint leaves no --step to choose.")
    asked = {("net",): _NET, ("weights",): _WEIGHTS, ("split",): _SPLIT, ("seed",): _SEED}
    asked[("num", "num_fake", "num_real")] = _NUM
    changes = {names: flag.value for names, flag in asked.items() if flag.value is not None}
    workdir = _WORKDIR.value
    steps = evaluate.checkpoints(workdir) if _ALL.value else [_STEP.value]
    for line in evaluate.run(workdir, steps, changes):
        print(line)


if __name__ == "__main__":
    cli.run(main)
