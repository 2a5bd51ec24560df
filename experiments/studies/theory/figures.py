"""The figures of the theory, as SVG text."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.theory import densities
from experiments.studies.theory.studies import LINE, Course, Duel, p
from gans.reports import plots

_DATA, _GENERATED, _LEARNED, _BEST = plots.BLUE, plots.ORANGE, plots.GREEN, plots.BLACK
_OF_LOSS = {
    "minimax": {"color": plots.PINK, "linestyle": plots.DASHES[1], "label": "minimax"},
    "non_saturating": {"color": plots.GREEN, "label": "non-saturating"},
}
_SHOWN = (np.abs(LINE) <= 7.0) & (np.arange(len(LINE)) % 4 == 0)
_WIDTH = 5.0  # inches: at the width of a telephone the letters are still large enough


def fixed(duel: Duel) -> str:
    """The learned discriminator over the best one, the densities behind, the error below."""
    with plots.style():
        figure = Figure((_WIDTH, 4.4))
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        _duel(above, duel)
        above.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        error = np.where(duel.inside, duel.error, np.nan)
        below.plot(LINE[_SHOWN], error[_SHOWN], color=_LEARNED)
        below.axhline(0.0, color=_BEST, linewidth=0.8)
        below.set(xlim=(-7.0, 7.0), xlabel="$x$", ylabel=r"$D-D^\ast$")
        limit = 1.2 * np.abs(duel.error[duel.inside]).max()
        below.set_ylim(-limit, limit)
        return plots.svg(figure)


def frame(duel: Duel) -> str:
    """The densities and the discriminators at one step of the generator's training."""
    with plots.style():
        figure = Figure((3.6, 2.4))
        axes = figure.subplots()
        _duel(axes, duel)
        axes.set(xlim=(-6.0, 5.0), title=f"step {duel.step:,}")
        return plots.svg(figure)


def _duel(axes: Axes, duel: Duel) -> None:
    x, data, generated = LINE[_SHOWN], p()[_SHOWN], duel.q[_SHOWN]
    best = densities.sigmoid(densities.optimal_logit(data, generated))
    learned = densities.sigmoid(duel.logit[_SHOWN])
    axes.fill_between(x, data, color=_DATA, alpha=0.3, lw=0, label=r"$p_\mathrm{data}$")
    axes.fill_between(x, generated, color=_GENERATED, alpha=0.3, lw=0, label="$p_g$")
    axes.plot(x, learned, color=_LEARNED, label="$D$, learned")
    axes.plot(x, best, color=_BEST, linestyle="--", linewidth=1.2, label=r"$D^\ast$, theory")
    axes.set_ylim(0.0, 1.04)


def values(course: Course) -> str:
    """V of the game over its steps: estimated in training, by the formula, of duels to the end."""
    with plots.style():
        figure = Figure((_WIDTH, 3.6))
        axes = figure.subplots()
        axes.plot(
            course.estimated_steps,
            course.estimated,
            color=_GENERATED,
            linewidth=1.0,
            label="$V(D, G)$ on the training batches",
        )
        axes.plot(
            course.steps,
            course.best_value,
            color=_BEST,
            label=r"$-\log 4 + 2\,\mathrm{JSD}$, by quadrature",
        )
        axes.plot(
            [duel.step for duel in course.duels],
            [duel.value for duel in course.duels],
            "o",
            color=_LEARNED,
            label="$V$ of $D$ trained to the end",
        )
        axes.axhline(-densities.LOG_4, color=_DATA, linestyle=":", label=r"$-\log 4$")
        _square_root(axes, course.steps[-1])
        axes.set_ylabel("$V$")
        axes.legend()
        return plots.svg(figure)


def pull(distances: np.ndarray, pulls: dict[str, np.ndarray]) -> str:
    """How strongly each loss pulls a generator, by its distance from the data."""
    with plots.style():
        figure = Figure((_WIDTH, 2.8))
        axes = figure.subplots()
        for name, strength in pulls.items():
            axes.plot(distances, strength, **_OF_LOSS[name])
        axes.set(xlabel="distance of the means, $d$", ylabel="mean size of the gradient")
        axes.legend()
        return plots.svg(figure)


def far_away(courses: dict[str, Course]) -> str:
    """How far the generator is from the data over the steps, with each loss."""
    with plots.style():
        figure = Figure((_WIDTH, 2.8))
        axes = figure.subplots()
        for name, course in courses.items():
            axes.plot(course.steps, course.jensen_shannon, **_OF_LOSS[name])
        axes.axhline(np.log(2.0), color=_BEST, linestyle=":", label=r"$\log 2$, no overlap")
        axes.set(xlabel="step", ylabel="JSD", ylim=(0.0, 0.75))
        axes.legend(loc="center right")
        return plots.svg(figure)


def formula(tex: str) -> str:
    """A formula in TeX's mathematics; with a line feed, on two lines."""
    with plots.style():
        figure = Figure((0.1, 0.1), layout="none")
        figure.text(0, 0, "\n".join(f"${line}$" for line in tex.splitlines()), size=15)
        return plots.svg(figure, bbox_inches="tight", pad_inches=0.02)


def _square_root(axes: Axes, last: int) -> None:
    """Steps by their square root: the beginning, where most happens, gets the room."""
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0.0)), np.square))
    axes.set_xticks([round(last * part) for part in (0, 1 / 30, 1 / 6, 1 / 3, 2 / 3, 1)])
    axes.set(xlim=(0, 1.02 * last), xlabel="step (square root)")
