"""Theory on a line: formulae against values known otherwise, and training against formulae."""

import html.parser
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from experiments.studies.theory import densities, report, studies
from experiments.studies.theory.networks import Rising
from experiments.studies.theory.training import Match, game, generated_density, without_generator
from gans.files import writing

LINE = studies.LINE
SMALL = studies.Sizes(
    batch_size=64,
    fixed_steps=20,
    duel_steps=10,
    steps=20,
    every=10,
    far_steps=10,
    far_head_start=10,
)


def gaussian(mean, deviation):
    return densities.Mixture((1.0,), (mean,), (deviation,)).density(LINE)


def uniform(low, high):
    return np.where((low <= LINE) & (high > LINE), 1.0 / (high - low), 0.0)


def best(p, q):
    return densities.sigmoid(densities.optimal_logit(p, q))


def test_equal_densities_leave_the_discriminator_nothing():
    p = gaussian(0.5, 0.8)
    logit = densities.optimal_logit(p, p)
    np.testing.assert_allclose(densities.sigmoid(logit), 0.5)
    assert densities.jensen_shannon(LINE, p, p) == pytest.approx(0.0, abs=1e-12)
    assert densities.value(LINE, p, p, logit) == pytest.approx(-np.log(4.0), abs=1e-9)


def test_disjoint_densities_are_told_apart_entirely():
    p, q = uniform(-2.0, -1.0), uniform(1.0, 3.0)
    assert np.unique(best(p, q)[p > 0]) == [1.0] and np.unique(best(p, q)[q > 0]) == [0.0]
    assert densities.jensen_shannon(LINE, p, q) == pytest.approx(np.log(2.0), abs=1e-9)
    assert densities.best_value(LINE, p, q) == pytest.approx(0.0, abs=1e-9)
    assert densities.value(LINE, p, q, densities.optimal_logit(p, q)) == 0.0


def test_half_overlapping_uniform_densities_by_hand():
    # On [0, 1] only p, on [1, 2] both, on [2, 3] only q: JSD = log(2) / 2.
    p, q = uniform(0.0, 2.0), uniform(1.0, 3.0)
    assert set(np.round(best(p, q)[(p > 0) | (q > 0)], 12)) == {0.0, 0.5, 1.0}
    # A step of the grid is 0.005, and a jump is known only up to that.
    assert densities.jensen_shannon(LINE, p, q) == pytest.approx(0.5 * np.log(2.0), abs=0.005)


def test_two_gaussians_against_adaptive_quadrature():
    a, b = stats.norm(-0.7, 0.6), stats.norm(0.9, 1.3)
    p, q = gaussian(-0.7, 0.6), gaussian(0.9, 1.3)
    np.testing.assert_allclose(p, a.pdf(LINE), rtol=1e-9, atol=0)

    def integrand(x):
        m = 0.5 * (a.pdf(x) + b.pdf(x))
        return 0.5 * (a.pdf(x) * np.log(a.pdf(x) / m) + b.pdf(x) * np.log(b.pdf(x) / m))

    expected, _ = integrate.quad(integrand, -9, 12, limit=200, points=[-0.7, 0.9])
    assert densities.jensen_shannon(LINE, p, q) == pytest.approx(expected, abs=1e-8)
    logit = densities.optimal_logit(p, q)
    assert densities.value(LINE, p, q, logit) == pytest.approx(-np.log(4) + 2 * expected, abs=1e-8)
    # p = q where D* = 1/2, and the best is above all others.
    at = np.argmin(np.abs(LINE - 0.3))
    assert best(p, q)[at] == pytest.approx(a.pdf(0.3) / (a.pdf(0.3) + b.pdf(0.3)), abs=1e-9)
    for other in (logit + 0.1, 0.9 * logit, np.zeros_like(logit)):
        assert densities.value(LINE, p, q, other) < densities.value(LINE, p, q, logit) - 1e-4


def test_the_central_range_holds_its_mass():
    inside = LINE[densities.central(LINE, gaussian(0.5, 0.8), 0.95)]
    np.testing.assert_allclose(inside[[0, -1]], stats.norm(0.5, 0.8).interval(0.95), atol=0.006)


def test_the_mixture_is_sampled_as_its_density_says():
    x = np.asarray(studies.DATA.sample(jax.random.key(1), 20_000), np.float64)
    cumulative = np.cumsum(studies.p()) * (LINE[1] - LINE[0])
    assert stats.kstest(x, lambda at: np.interp(at, LINE, cumulative)).pvalue > 0.01


@pytest.fixture(scope="module")
def bent():
    """A game whose generator is bent far away from a line, and its state."""
    match = Match(studies.DATA, Rising(-3.0, 0.5, 5), game("minimax"), num_steps=10, batch_size=64)
    state = match.start(0)
    params = dict(state.nets["generator"].params)
    params["log_height"] = jnp.log(jnp.array([0.3, 0.05, 0.8, 0.1, 0.4]))
    params["log_steepness"] = jnp.array([1.0, 2.0, 1.5, 0.5, 1.0])
    return match, state.nets["generator"].replace(params=params)


def test_the_density_of_what_is_generated(bent):
    _, generator = bent
    q = generated_density(generator, LINE)
    assert q.dtype == np.float64
    assert np.trapezoid(q, LINE) == pytest.approx(1.0, abs=1e-5)
    z = jax.random.normal(jax.random.key(0), (200_000, 1))
    x = np.asarray(generator(z, train=False)[0]).reshape(-1)
    counts, edges = np.histogram(x, bins=60, range=(-6.0, 1.0))
    cumulative = np.concatenate([[0.0], np.cumsum(0.5 * (q[1:] + q[:-1]) * np.diff(LINE))])
    expected = len(x) * np.diff(np.interp(edges, LINE, cumulative))
    enough = expected > 20
    assert enough.sum() > 30
    # In units of the standard deviation of a count.
    errors = (counts - expected)[enough] / np.sqrt(expected[enough])
    assert np.abs(errors).max() < 4.5 and 0.6 < np.std(errors) < 1.4


def test_a_line_generates_a_gaussian():
    match = Match(studies.DATA, Rising(0.3, 1.9, 0), game("minimax"), num_steps=1, batch_size=4)
    q = generated_density(match.start(0).nets["generator"], LINE)
    np.testing.assert_allclose(q, gaussian(0.3, 1.9), atol=1e-6)


def test_without_its_move_the_generator_stays_and_with_it_goes(bent):
    match, generator = bent
    kept = match.start(0, generator=generator)
    alone = Match(
        studies.DATA, Rising(-3.0, 0.5, 5), without_generator(), num_steps=10, batch_size=64
    )

    def moved(match):
        after, _ = match.advance(match.start(0, generator=generator), 3)
        return {
            name: any(
                bool((a != b).any())
                for a, b in zip(
                    jax.tree.leaves(kept.nets[name].params),
                    jax.tree.leaves(after.nets[name].params),
                    strict=True,
                )
            )
            for name in kept.nets
        }

    assert moved(match) == {"generator": True, "discriminator": True}
    assert moved(alone) == {"generator": False, "discriminator": True}


def test_training_finds_the_best_discriminator():
    duel = studies.fixed_generator(
        0, studies.Sizes(batch_size=512, fixed_steps=1500, every=500), lambda count: None
    )
    # Before training D is about 1/2, and 0.3 or more off; V is 0.12 below.
    assert np.abs(duel.error[duel.inside]).max() < 0.1
    assert 0.0 < duel.best_value - duel.value < 0.004


def test_pulls_by_distance():
    minimax, other = (studies.pulls(np.array([0.0, 1.0, 6.0]))[x] for x in studies.COMPARED)
    # At distance d the two gradients are d D* and d (1 - D*), so their sizes add up to d.
    np.testing.assert_allclose(minimax + other, [0.0, 1.0, 6.0], atol=1e-4)
    expected, _ = integrate.quad(lambda x: stats.norm.pdf(x, 1.0) / (1.0 + np.exp(x - 0.5)), -8, 10)
    assert minimax[1] == pytest.approx(expected, abs=1e-5)
    assert minimax[2] < 0.02


class Images(html.parser.HTMLParser):
    """Counts pictures, and keeps every address that a browser would follow."""

    def __init__(self, page):
        super().__init__()
        self.pictures, self.addresses = 0, []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img":
            self.pictures += 1
            assert attrs["alt"] and attrs["src"].startswith("data:image/svg+xml;base64,")
        elif "src" in attrs or "href" in attrs or tag == "script":
            self.addresses.append(attrs)


def test_page_and_numbers(tmp_path):
    ticks = []
    found = report.find(3, SMALL, ticks.append)
    assert sum(ticks) == SMALL.total
    numbers = report.numbers(found)
    writing.write_json(tmp_path / "theory.json", numbers)
    read = json.loads((tmp_path / "theory.json").read_text())
    assert read["seed"] == 3 and read["sizes"]["steps"] == 20
    both = read["both"]
    assert both["steps"] == [0, 10, 20] and len(both["estimated"]) == 2
    np.testing.assert_allclose(
        both["formula"], -np.log(4) + 2 * np.array(both["jensen_shannon"]), atol=1e-12
    )
    assert [end["step"] for end in both["checkpoints"]] == SMALL.frames
    assert both["largest_deviation_of_v"] == max(
        end["deviation_of_v"] for end in both["checkpoints"]
    )
    for end in both["checkpoints"]:
        assert end["value"] < end["formula"] < 0.0
        assert end["generated_mass"] == pytest.approx(1.0, abs=1e-3)

    page = report.page(found)
    images = Images(page)
    assert images.addresses == [] and images.pictures == 4 + len(SMALL.frames) + 6
    assert f"{read['fixed_generator']['largest_deviation_of_d']:.4f}" in page
    assert report.page(found) == page
    again = studies.fixed_generator(3, SMALL, ticks.append)
    np.testing.assert_array_equal(again.logit, found.fixed.logit)


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    result = subprocess.run(
        [sys.executable, "-m", "experiments.theory", f"--out={tmp_path / 'file'}"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert result.returncode == 2
    assert (
        result.stderr == f"error: --out={tmp_path / 'file'} cannot be made a folder: File exists.\n"
    )
