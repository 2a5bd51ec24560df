"""What the studies found, as numbers and as a page that needs nothing but a browser."""

from __future__ import annotations

import base64
import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.studies.theory import densities, figures, studies
from experiments.studies.theory.studies import LINE, Course, Duel, Sizes, Tick


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
    frames = [
        _picture(figures.frame(duel), f"densities and discriminators at step {duel.step}")
        for duel in found.course.duels
    ]
    return _PAGE.format(
        **{name: _formula(tex, said) for name, (tex, said) in _FORMULAE.items()},
        seed=found.seed,
        batch_size=f"{found.sizes.batch_size:,}",
        fixed_steps=f"{found.sizes.fixed_steps:,}",
        duel_steps=f"{found.sizes.duel_steps:,}",
        steps=f"{found.sizes.steps:,}",
        head_start=f"{found.sizes.far_head_start:,}",
        far_steps=f"{found.sizes.far_steps:,}",
        fixed_figure=_picture(
            figures.fixed(found.fixed), "the learned discriminator lies on the best one"
        ),
        fixed_table=_table(
            (),
            [
                ("largest |D − D*|", f"{fixed['largest_deviation_of_d']:.4f}"),
                ("at x =", _signed(fixed["largest_deviation_at"], 2)),
                ("mean |D − D*|", f"{fixed['mean_deviation_of_d']:.4f}"),
                ("V(D) of the learned D", _signed(fixed["value"], 5)),
                ("V(D*) = −log 4 + 2 JSD", _signed(fixed["formula"], 5)),
                ("JSD", f"{fixed['jensen_shannon']:.5f}"),
            ],
        ),
        mass=f"{studies.MASS:.1%}",
        low=_signed(fixed["range"][0], 2),
        high=_signed(fixed["range"][1], 2),
        fixed_gap=f"{fixed['deviation_of_v']:.5f}",
        values_figure=_picture(figures.values(found.course), "V over the steps of the game"),
        frames="\n".join(frames),
        checkpoints=_table(
            ("step", "JSD", "−log 4 + 2 JSD", "V of D", "difference"),
            [
                (
                    f"{end['step']:,}",
                    f"{end['jensen_shannon']:.4f}",
                    _signed(end["formula"], 4),
                    _signed(end["value"], 4),
                    f"{end['deviation_of_v']:.5f}",
                )
                for end in ends
            ],
        ),
        largest=f"{both['largest_deviation_of_v']:.5f}",
        late=f"{np.abs(formula - found.course.estimated)[late:].max():.3f}",
        first=f"{ends[0]['jensen_shannon']:.3f}",
        last=f"{ends[-1]['jensen_shannon']:.4f}",
        pull_figure=_picture(
            figures.pull(found.distances, found.pulls), "gradients of both losses by distance"
        ),
        near_minimax=f"{found.pulls['minimax'][near]:.2f}",
        near_other=f"{found.pulls['non_saturating'][near]:.2f}",
        far_minimax=f"{found.pulls['minimax'][far]:.3f}",
        far_other=f"{found.pulls['non_saturating'][far]:.2f}",
        far_figure=_picture(figures.far_away(found.far), "JSD over the steps with both losses"),
        stuck=f"{stuck:.4f}",
        free=f"{free:.4f}",
    )


def _picture(svg: str, said: str) -> str:
    # As an image, so that the ids of one figure cannot meet those of another.
    data = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{html.escape(said)}">'


def _formula(tex: str, said: str) -> str:
    return f'<p class="formula">{_picture(figures.formula(tex), said)}</p>'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    names = "".join(f"<th>{name}</th>" for name in head)
    lines = ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return (
        "<table>" + "\n".join(f"<tr>{line}</tr>" for line in [names, *lines] if line) + "</table>"
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

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Theory, shown</title>
<style>
  :root {{ color-scheme: light; font: 17px/1.55 system-ui, sans-serif; }}
  body {{ max-width: 46rem; margin: 0 auto; padding: 1rem; color: #1b1b1b; background: #fff; }}
  h1, h2 {{ line-height: 1.25; }}
  h2 {{ margin-top: 2.5rem; }}
  img {{ max-width: 100%; height: auto; }}
  figure {{ margin: 1.5rem 0; break-inside: avoid; }}
  figure > img {{ width: 100%; }}
  figcaption {{ font-size: .9em; color: #444; }}
  .formula {{ text-align: center; break-inside: avoid; }}
  .frames {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr));
    gap: .5rem; margin-bottom: .5rem; }}
  .frames img {{ width: 100%; break-inside: avoid; }}
  table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9em;
    margin: 1rem auto; break-inside: avoid; }}
  td, th {{ padding: .2em .6em; border-bottom: 1px solid #ccc; text-align: right; }}
  td:first-child, th:first-child {{ text-align: left; }}
  i {{ white-space: nowrap; }}
  @media (max-width: 30rem) {{ td, th {{ padding: .2em .3em; font-size: .9em; }} }}
  @media print {{ :root {{ font-size: 11pt; }} h2 {{ break-after: avoid; }} }}
</style>
<h1>Theory, shown</h1>
<p>A generator <i>G</i> turns noise <i>z</i> into numbers; a discriminator <i>D</i> says how likely
it finds a number to be real. They play for one quantity (Goodfellow et al. 2014), which
<i>D</i> wants high and <i>G</i> low:</p>
{game}
<p>With pictures nobody knows the densities behind it. Here “pictures” are single numbers: the
data are a mixture of three Gaussians, the generator's density is known exactly, and whatever
theory says can be held against what training does. Networks aside, it is the same game, the same
losses and the same update that train on pictures.</p>

<h2>1. The best discriminator</h2>
<p>Let <i>G</i> stand still. Written as one integral over <i>x</i>,</p>
{integral}
<p>every <i>x</i> can be settled by itself: <i>a</i> log <i>y</i> + <i>b</i> log(1 − <i>y</i>) is
largest at <i>y</i> = <i>a</i>/(<i>a</i> + <i>b</i>). So the best answer is the share of the real
among all that turns up at <i>x</i>:</p>
{best}
<figure>{fixed_figure}
<figcaption>The generator makes N(0.3, 1.9²). After {fixed_steps} steps the discriminator, which
has seen nothing but samples, lies on the curve that theory draws from the densities. It says ½
where they cross, more where data are denser, less where they are rarer. Below, the difference,
enlarged.</figcaption></figure>
{fixed_table}
<p>The deviations are those for <i>x</i> from {low} to {high}, which hold the middle {mass} of real
and generated numbers together; further out there is hardly anything to learn from (the mean is over
all). No <i>D</i> can have more than <i>V</i>(<i>D</i>*). That the learned one lacks only
{fixed_gap} shows how flat the top is: small errors of <i>D</i> cost their square.</p>

<h2>2. What is left for the generator: a distance</h2>
<p>Put <i>D</i>* into <i>V</i>, and it turns into a distance between the densities, the
Jensen-Shannon divergence:</p>
{value}
<p>JSD is 0 where the densities are equal, and nowhere else; where they do not overlap it is log 2,
and <i>V</i> is 0. So a generator that lowers <i>V</i> against the best discriminator moves towards
the data, and at −log 4 = −1.3863 it has arrived: <i>D</i> says ½ everywhere.</p>
<p>To see that, both play the minimax game for {steps} steps. The generator is a rising function,
so that its density is known:</p>
{change}
<figure>{values_figure}
<figcaption>Black: the formula, from the exact densities. Orange: <i>V</i> as training sees it, on
its batches. It comes out a little lower, because <i>D</i> is never quite the best; in the second
half the two differ by {late} at most. Green: here the generator was stopped, and <i>D</i> trained
on for {duel_steps} steps. Then <i>V</i> is what the formula says.</figcaption></figure>
<figure><div class="frames">
{frames}
</div>
<figcaption>Blue: the data. Orange: what the generator makes. Green: <i>D</i> after {duel_steps}
more steps against this generator. Dashed: <i>D</i>*. The generator spreads until it fills the three
peaks, and <i>D</i> settles near ½ wherever there is data. At the margins, with next to no density,
nothing tells <i>D</i> where to go.</figcaption></figure>
{checkpoints}
<p>The largest difference between <i>V</i> of these discriminators and the formula is
<b>{largest}</b>. JSD falls from {first} to {last}.</p>

<h2>3. Why “non-saturating”</h2>
<p>If minimax is what theory speaks of, why does practice let <i>G</i> lower −log <i>D</i> instead
of log(1 − <i>D</i>)? Write <i>D</i> as the sigmoid of a logit ℓ, and look at what pulls a
generated <i>x</i>:</p>
{slopes}
<p>Early on fakes are poor, and <i>D</i> is sure of it: <i>D</i> ≈ 0 on them. The first gradient
is then almost nothing, just when there is most to learn; the second is at its strongest.</p>
<figure>{pull_figure}
<figcaption>Data of N(0, 1), a generator of N(<i>d</i>, 1), the best discriminator. At <i>d</i> = 1
minimax pulls with {near_minimax}, non-saturating with {near_other}; at <i>d</i> = 6 with
{far_minimax} and {far_other}. Computed, not trained.</figcaption></figure>
<figure>{far_figure}
<figcaption>And trained: from N(−6, 0.5²), far from the data, against a discriminator that was given
{head_start} steps of its own. The generator takes plain gradient steps, whose size is that of the
gradient. After {far_steps} steps JSD is {stuck} with minimax and {free} with the non-saturating
loss.</figcaption></figure>
<p>The gain has its price. Against the best discriminator the non-saturating loss no longer lowers
JSD but KL(<i>p<sub>g</sub></i> ‖ <i>p</i><sub>data</sub>) − 2 JSD (Arjovsky and Bottou 2017),
which is lenient with a generator that leaves a part of the data out.</p>

<h2>How this was made</h2>
<p><code>python -m experiments.theory --out=theory --seed={seed}</code>, which gives the same
numbers again on the same machine. All of them are in <code>theory.json</code>. Batches of
{batch_size}; integrals by the trapezoidal rule on 6,401 points from −16 to 16.</p>
<ul>
<li>I. Goodfellow et al. (2014), Generative adversarial nets, arXiv:1406.2661, sections 3 and
4.</li>
<li>M. Arjovsky and L. Bottou (2017), Towards principled methods for training generative adversarial
networks, arXiv:1701.04862, theorems 2.4 and 2.5.</li>
</ul>
</html>
"""
