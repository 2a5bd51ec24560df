"""Evaluates a trained run with the evaluators of its config, and records their numbers.

    python -m experiments.evaluate --workdir=runs/cgan
    python -m experiments.evaluate --workdir=runs/cgan --net=inception.load --weights= \\
        --num=50000 --split=train
    python -m experiments.evaluate --workdir=runs/cgan --every_checkpoint

Every number goes into evaluations.jsonl in the run folder with the protocol it was found by;
`experiments.compare` makes tables and pictures of them.
"""

from absl import flags

from experiments import cli

_WORKDIR = cli.define_path("workdir", None, "The folder of the run to evaluate.")
_STEP = cli.define_step()
_ALL = flags.DEFINE_bool(
    "every_checkpoint", False, "Evaluate every checkpoint that the run keeps, not only one."
)
_NET = flags.DEFINE_string(
    "net",
    None,
    "The network that computes the features, in place of the one in the run's config: "
    "inception.load or classifier.load.",
)
_WEIGHTS = flags.DEFINE_string(
    "weights",
    None,
    "The weights of the feature network, in place of those in the run's config. For "
    "classifier.load: the file of experiments.train_classifier, or cifar10 or digits for the "
    "classifiers that come with the code. For inception.load: a file, or empty to download FID's "
    "weights.",
)
_NUM = flags.DEFINE_integer(
    "num",
    None,
    "How many generated and how many real images to compare, in place of the numbers in the run's "
    "config.",
    2,
    10**7,
)
_SPLIT = flags.DEFINE_string(
    "split",
    None,
    "The split of the data set that real images are taken from, e.g. test, in place of the one in "
    "the run's config.",
)
_SEED = cli.define_seed(
    None,
    "The seed that generated and real images are drawn with, in place of the one in the run's "
    "config.",
)
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
