"""The benchmark: each case by itself, then beside PyTorch, in one run.

Before anything is compared both sides are given the same networks, batch and noise, and must
find the same losses; otherwise the run ends with what differs, and no ratio is written.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from experiments.studies.benchmark import agreement, machine, measure
from experiments.studies.benchmark.cases import Case
from experiments.studies.benchmark.variants import Variant, variants
from experiments.studies.benchmark.workers import Failed, Worker
from gans.errors import UserError

SETTLE = 0.25
"""Seconds before a block: threads of the other side spin for up to 0.2 after their last work."""

OURS = "experiments.studies.benchmark.ours:side"
_PEERS = "experiments.studies.benchmark.peers.sides:"
_COMPARED = ("train", "sample", "translate")
_BUSY = 0.2  # of the cores, from which on the numbers come with a caution
# Whole numbers of 255: one is what rounding may make of numbers that are alike.
TOLERANCES = {"train": agreement.TRAINED, "sample": agreement.EXACT, "translate": 1.01 / 255}

Say = Callable[[str], None]


class How(NamedTuple):
    """How it is measured.

    Attributes:
      rounds: blocks of each side.
      seconds: of a block, about; one iteration may take longer.
      against: "torch", or empty.
      compile_seconds: the most that a variant of the other side may take to its first
        iteration; with 0 none is compiled.
    """

    rounds: int = 7
    seconds: float = 3.0
    against: str = ""
    compile_seconds: float = 300.0


def run(
    cases: Sequence[Case],
    how: How,
    say: Say = lambda line: None,
    keep: Callable[[dict[str, Any]], None] = lambda content: None,
) -> dict[str, Any]:
    """Times cases.

    Args:
      cases: what to time.
      how: how.
      say: called with what is going on.
      keep: called with what is known so far whenever a case is done, so that one that fails
        after an hour does not take the others with it.

    Returns:
      Plain data: the `machine`, its `ceilings`, and what was found of each of the `cases`.

    Raises:
      UserError: a case cannot be run, or the other side does not compute the same.
    """
    content = {"machine": machine.describe(), "how": how._asdict(), "cautions": []}
    load, cores = content["machine"]["load"], content["machine"]["cores"]
    if load > _BUSY * cores:
        content["cautions"].append(
            f"The machine was busy when this began: a load of {load} on {cores} cores."
        )
    if 1 < how.rounds < 5:
        content["cautions"].append("Of fewer than five rounds, ranges are shown for intervals.")
    for case in cases if how.against else ():
        _check_alike(case)
    say("the device's ceiling")
    with running("the device's ceiling"):
        content["ceilings"], on_gpu = ceilings(cases, how)
    content["cases"] = []
    for case in cases:
        say(case.name)
        with running(case.name):
            found = time_case(case, how, say, on_gpu)
        content["cases"].append(found | _share(case, found, content["ceilings"]))
        keep(content)
    return content


def _check_alike(case: Case) -> None:
    """Raises UserError where the other side would not do the same."""
    translates = case.task == "translate"
    if translates and case.config["nets"]["generator_ab"]["name"].startswith("unet."):
        raise UserError(
            f"{case.name} cannot be compared: ours cuts a picture into tiles of the size that a "
            "U-Net was trained on, PyTorch's would take it as a whole; leave --against out."
        )


def ceilings(cases: Sequence[Case], how: How) -> tuple[list[dict[str, Any]], bool]:
    """For each dtype of the networks the most FLOP/s and bytes/s that were reached.

    Returns:
      These, and whether the other side sees a GPU.
    """
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(Worker("experiments.studies.benchmark.ceiling:Ours"))
        theirs = stack.enter_context(Worker(f"{_PEERS}Probe")) if how.against else None
        found = []
        for dtype in sorted({_dtype(case) for case in cases}):
            best = ours.call("measure", dtype) | {"by": "jax"}
            if theirs is not None:
                other = theirs.call("measure", dtype)
                if other["flop_per_second"] > best["flop_per_second"]:
                    best |= other | {"by": how.against}
            found.append(best)
        return rounded(found), theirs is not None and theirs.call("has_gpu")


def time_case(case: Case, how: How, say: Say, on_gpu: bool) -> dict[str, Any]:
    """Times one case, and beside it the best variant of the other side."""
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(Worker(OURS, case))
        found = {"name": case.name, "task": case.task, "images": case.images}
        found["ours"] = begin(ours)
        sides = {"ours": ours}
        if how.against and case.task in _COMPARED:
            given, answers = ours.call("question")
            forms = variants(_dtypes(case), compiled=how.compile_seconds > 0, on_gpu=on_gpu)
            theirs, report = _best(case, how, forms, given, answers, say)
            stack.enter_context(theirs)
            sides[how.against] = theirs
            found |= {how.against: report.pop("side"), **report}
        say(f"  {how.rounds} rounds of {' and '.join(sides)}")
        blocks = measure.alternate(
            {name: _timed(side, found[name]["grain"]) for name, side in sides.items()},
            {
                name: measure.count_for(how.seconds, found[name]["of_one"], found[name]["grain"])
                for name in sides
            },
            how.rounds,
            lambda: time.sleep(SETTLE),
        )
        for name, rounds in blocks.items():
            found[name] |= _speed(rounds, case.images)
        if len(sides) == 2:
            seconds = [[block.seconds for block in rounds] for rounds in blocks.values()]
            found["ratio"] = measure.ratio(*seconds)._asdict()
        demand = ours.call("demand")
    if demand is not None:
        found["ours"] |= demand._asdict()
        found["ours"]["flop_per_second"] = demand.flop / found["ours"]["seconds"]["median"]
    return rounded(found)


def begin(side: Worker, timeout: float | None = None) -> dict[str, Any]:
    """The first iterations of a side: what compiling took, a first time, the memory taken.

    The memory is asked for now, before anything else is computed than what is timed.
    """
    first = side.call("first", timeout=timeout)
    grain = side.call("facts")["grain"]
    of_one = side.call("block", grain, timeout=timeout)[0] / grain
    return side.call("facts") | {"first_seconds": first, "of_one": of_one}


def _timed(side: Worker, grain: int) -> tuple[measure.Timed, int]:
    return (lambda count: side.call("block", count)), grain


def _best(
    case: Case,
    how: How,
    forms: Sequence[Variant],
    given: Any,
    answers: agreement.Answers,
    say: Say,
) -> tuple[Worker, dict[str, Any]]:
    """The fastest variant of the other side, in its process, and what was found of all.

    Every variant answers the question before it is timed, and the first, the plainest, must agree.
    Another that does not, because of an error in a layout or a compiler, is left out, and so is
    what cannot be compiled, or not in time; the reason is kept.

    Raises:
      UserError: the two sides do not compute the same, or no variant runs.
    """
    best, tried = None, []
    try:
        for variant in forms:
            try:
                worker, report = _try(case, how, variant, given, answers)
            except agreement.Differs as difference:
                if variant == forms[0]:
                    raise
                worker, report = None, {"tried": {"variant": variant.name}}
                report["tried"]["reason"] = str(difference)
            tried.append(report["tried"])
            say(f"  {how.against}, {variant.name}: {_in_words(tried[-1])}")
            if worker is None:
                continue
            if best is not None and best[1]["trial"] <= report["trial"]:
                worker.close()
                continue
            if best is not None:
                best[0].close()
            best = worker, report
    except BaseException:
        if best is not None:
            best[0].close()
        raise
    if best is None:
        reasons = "; ".join(f"{x['variant']}: {x['reason']}" for x in tried)
        raise UserError(f"{how.against} could not run {case.name} in any form: {reasons}.")
    worker, report = best
    return worker, {"side": report["side"], "agreement": report["agreement"], "tried": tried}


def _try(
    case: Case, how: How, variant: Variant, given: Any, answers: agreement.Answers
) -> tuple[Worker | None, dict[str, Any]]:
    """A variant's process, its first numbers and a short trial; None where it does not run."""
    tried, worker = {"variant": variant.name}, None
    tolerance = agreement.ROUNDED if variant.mixed else TOLERANCES[case.task]
    try:
        worker = Worker(
            f"{_PEERS}side",
            case,
            variant,
            # What is read from a cache was not compiled.
            environment={"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"},
        )
        patience = how.compile_seconds or None
        side = begin(worker, patience)
        theirs = worker.call("answer", given, timeout=patience)
        agreed = agreement.compare(answers, theirs, tolerance)
        count = measure.count_for(how.seconds, side["of_one"], 1)
        worker.call("block", 1)
        trial = worker.call("block", count)[0] / count
    except Failed as failure:
        if worker is not None:
            worker.close()
        return None, {"tried": tried | {"reason": str(failure)}}
    except BaseException:
        if worker is not None:
            worker.close()
        raise
    tried |= {"seconds": trial, "first_seconds": side["first_seconds"]}
    return worker, {"side": side, "agreement": agreed, "trial": trial, "tried": tried}


def _in_words(tried: dict[str, Any]) -> str:
    if "reason" in tried:
        return f"left out: {tried['reason']}"
    return f"{tried['seconds']:.4g} s, the first {tried['first_seconds']:.1f} s"


def _speed(rounds: Sequence[measure.Block], images: int) -> dict[str, Any]:
    """Of the blocks of one side."""
    spread = measure.quartiles([block.seconds for block in rounds])
    return {
        "seconds": spread._asdict() | {"rounds": [block.seconds for block in rounds]},
        "steps_per_second": 1.0 / spread.median,
        "images_per_second": images / spread.median,
        "data_wait": sum(b.waited for b in rounds) / sum(b.seconds for b in rounds),
    }


def _share(case: Case, found: dict[str, Any], limits: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Our side with the share of the ceiling of its dtype that it reached."""
    ours = found["ours"]
    if "flop_per_second" not in ours:
        return {}
    most = next(x["flop_per_second"] for x in limits if x["dtype"] == _dtype(case))
    return {"ours": ours | rounded({"share": ours["flop_per_second"] / most})}


def _dtype(case: Case) -> str:
    """What most of a case is computed in."""
    return "bfloat16" if "bfloat16" in _dtypes(case) else "float32"


def _dtypes(case: Case) -> set[str]:
    return {net["dtype"] for net in case.config["nets"].values()}


@contextlib.contextmanager
def running(name: str) -> Iterator[None]:
    """Raises UserError where the process that holds our side fails."""
    try:
        yield
    except Failed as failure:
        raise UserError(f"{name} could not be timed: {failure}.") from None


def rounded(tree: Any) -> Any:
    """Plain data whose numbers have five digits."""
    if isinstance(tree, dict):
        return {key: rounded(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [rounded(value) for value in tree]
    if isinstance(tree, float):
        return float(f"{tree:.5g}") if math.isfinite(tree) else None
    return tree
