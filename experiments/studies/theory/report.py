"""What the studies found, as numbers and as a page that needs nothing but a browser."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.studies.theory import densities, figures, studies
from experiments.studies.theory.studies import LINE, Course, Duel, Sizes, Tick
from gans.reports.page import render


@dataclasses.dataclass(frozen=True)
class Findings:
    """All that was found with one seed.

    Attributes:
      fixed: a discriminator against a generator that does not move.
      course: the game of both.
      distances: between data and generator, `[M]`.
      pulls: of each loss at these distances.
      far: the game from far away with each loss.
    """

    seed: int
    sizes: Sizes
    fixed: Duel
    course: Course
    distances: np.ndarray
    pulls: Mapping[str, np.ndarray]
    far: Mapping[str, Course]


def find(seed: int, sizes: Sizes, tick: Tick) -> Findings:
    """Makes all the studies; `tick` is called `sizes.total` times one iteration in all."""
    distances = np.linspace(0.0, 8.0, 81)
    return Findings(
        seed=seed,
        sizes=sizes,
        fixed=studies.fixed_generator(seed, sizes, tick),
        course=studies.both(seed, sizes, tick),
        distances=distances,
        pulls=studies.pulls(distances),
        far=studies.far_away(seed, sizes, tick),
    )


def numbers(found: Findings) -> dict[str, Any]:
    """All numbers of the findings, for a JSON file."""
    inside, error = found.fixed.inside, np.abs(found.fixed.error)
    worst = np.argmax(np.where(inside, error, 0.0))
    course = found.course
    return {
        "seed": found.seed,
        "sizes": dataclasses.asdict(found.sizes),
        "data": dataclasses.asdict(studies.DATA),
        "fixed_generator": {
            **_duel_numbers(found.fixed),
            "range_mass": studies.MASS,
            "range": LINE[inside][[0, -1]].tolist(),
            "largest_deviation_of_d": float(error[worst]),
            "largest_deviation_at": float(LINE[worst]),
            "mean_deviation_of_d": _mean_error(found.fixed),
        },
        "both": {
            "minus_log_4": -densities.LOG_4,
            "largest_deviation_of_v": max(_shortfall(duel) for duel in course.duels),
            "checkpoints": [{"step": duel.step, **_duel_numbers(duel)} for duel in course.duels],
            "steps": course.steps.tolist(),
            "jensen_shannon": course.jensen_shannon.tolist(),
            "formula": course.best_value.tolist(),
            "estimated_steps": course.estimated_steps.tolist(),
            "estimated": course.estimated.tolist(),
        },
        "pull": {
            "distances": found.distances.tolist(),
            **{name: pull.tolist() for name, pull in found.pulls.items()},
        },
        "far_away": {
            name: {"steps": x.steps.tolist(), "jensen_shannon": x.jensen_shannon.tolist()}
            for name, x in found.far.items()
        },
    }


def _duel_numbers(duel: Duel) -> dict[str, float]:
    return {
        "jensen_shannon": duel.jensen_shannon,
        "formula": duel.best_value,
        "value": duel.value,
        "deviation_of_v": _shortfall(duel),
        "generated_mass": float(np.trapezoid(duel.q, LINE)),
    }


def _shortfall(duel: Duel) -> float:
    return abs(duel.best_value - duel.value)


def _mean_error(duel: Duel) -> float:
    """The mean of `|D - D*|` over real and generated numbers together."""
    return float(np.trapezoid(0.5 * (studies.p() + duel.q) * np.abs(duel.error), LINE))


def page(found: Findings) -> str:
    """The findings as HTML, with all figures inside."""
    n = numbers(found)
    fixed, both = n["fixed_generator"], n["both"]
    ends = both["checkpoints"]
    late = len(found.course.estimated) // 2
    formula = np.interp(found.course.estimated_steps, found.course.steps, found.course.best_value)
    stuck, free = (found.far[name].jensen_shannon[-1] for name in studies.COMPARED)
    near, far = (np.argmin(np.abs(found.distances - d)) for d in (1.0, 6.0))
    return render(
        "theory.html",
        package="experiments.studies.theory",
        formulae={
            name: {"svg": figures.formula(tex), "said": said}
            for name, (tex, said) in _FORMULAE.items()
        },
        figures={
            "fixed": figures.fixed(found.fixed),
            "value": figures.values(found.course),
            "pull": figures.pull(found.distances, found.pulls),
            "far": figures.far_away(found.far),
        },
        frames=[(duel.step, figures.frame(duel)) for duel in found.course.duels],
        seed=found.seed,
        batch_size=f"{found.sizes.batch_size:,}",
        fixed_steps=f"{found.sizes.fixed_steps:,}",
        duel_steps=f"{found.sizes.duel_steps:,}",
        steps=f"{found.sizes.steps:,}",
        head_start=f"{found.sizes.far_head_start:,}",
        far_steps=f"{found.sizes.far_steps:,}",
        fixed_table=[
            ("largest |D − D*|", f"{fixed['largest_deviation_of_d']:.4f}"),
            ("at x =", _signed(fixed["largest_deviation_at"], 2)),
            ("mean |D − D*|", f"{fixed['mean_deviation_of_d']:.4f}"),
            ("V(D) of the learned D", _signed(fixed["value"], 5)),
            ("V(D*) = −log 4 + 2 JSD", _signed(fixed["formula"], 5)),
            ("JSD", f"{fixed['jensen_shannon']:.5f}"),
        ],
        mass=f"{studies.MASS:.1%}",
        low=_signed(fixed["range"][0], 2),
        high=_signed(fixed["range"][1], 2),
        fixed_gap=f"{fixed['deviation_of_v']:.5f}",
        checkpoints=[
            (
                f"{end['step']:,}",
                f"{end['jensen_shannon']:.4f}",
                _signed(end["formula"], 4),
                _signed(end["value"], 4),
                f"{end['deviation_of_v']:.5f}",
            )
            for end in ends
        ],
        largest=f"{both['largest_deviation_of_v']:.5f}",
        late=f"{np.abs(formula - found.course.estimated)[late:].max():.3f}",
        first=f"{ends[0]['jensen_shannon']:.3f}",
        last=f"{ends[-1]['jensen_shannon']:.4f}",
        near_minimax=f"{found.pulls['minimax'][near]:.2f}",
        near_other=f"{found.pulls['non_saturating'][near]:.2f}",
        far_minimax=f"{found.pulls['minimax'][far]:.3f}",
        far_other=f"{found.pulls['non_saturating'][far]:.2f}",
        stuck=f"{stuck:.4f}",
        free=f"{free:.4f}",
    )


def _signed(number: float, digits: int) -> str:
    """With a minus sign as wide as a plus."""
    return f"{number:.{digits}f}".replace("-", "−")


_FORMULAE = {
    "game": (
        r"V(D, G) = \mathrm{E}_{x \sim p_\mathrm{data}} [\log D(x)]"
        "\n"
        r"\qquad\quad + \, \mathrm{E}_{z} [\log (1 - D(G(z)))]",
        "V(D, G) is the mean of log D(x) over data plus the mean of log(1 - D(G(z))) over z",
    ),
    "integral": (
        r"V(D, G) = \int p_\mathrm{data} \, \log D + p_g \, \log (1 - D) \; dx",
        "V(D, G) is the integral of p_data log D + p_g log(1 - D)",
    ),
    "best": (
        r"D^\ast(x) = \dfrac{p_\mathrm{data}(x)}{p_\mathrm{data}(x) + p_g(x)}",
        "D*(x) = p_data(x) / (p_data(x) + p_g(x))",
    ),
    "value": (
        r"V(D^\ast, G) = -\log 4 + 2 \, \mathrm{JSD}(p_\mathrm{data} \, \Vert \, p_g)",
        "V(D*, G) = -log 4 + 2 JSD(p_data || p_g)",
    ),
    "change": (
        r"p_g(x) = \dfrac{\varphi(z)}{G'(z)}, \quad x = G(z)",
        "p_g(x) = phi(z) / G'(z) where x = G(z)",
    ),
    "slopes": (
        r"\frac{d}{dx} \log (1 - D) = -D \, \ell'(x)"
        "\n"
        r"\frac{d}{dx} (-\log D) = -(1 - D) \, \ell'(x)",
        "the slope of log(1 - D) is -D l'(x), that of -log D is -(1 - D) l'(x)",
    ),
}
