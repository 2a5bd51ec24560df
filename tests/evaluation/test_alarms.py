"""What is an alarm and what is none, on both sides of every limit, by numbers made by hand."""

import math

import numpy as np
import pytest

from gans.evaluation import alarms
from gans.evaluation.alarms import LINES, STEPS, Line


def lines(count=10, steps=100, **values):
    """Lines whose values are given as one number, or as one for each line."""
    rows = [
        {name: x[i] if isinstance(x, list) else x for name, x in values.items()}
        for i in range(count)
    ]
    return [Line((i + 1) * steps, steps, row) for i, row in enumerate(rows)]


def on(found):
    return {name for name, sentence in found.items() if sentence}


LOSSES = [1.0, 1.2] * 5  # that move


@pytest.mark.parametrize(
    "count, steps, taken",
    [
        (LINES, STEPS // LINES, LINES),
        (LINES - 1, STEPS, 0),  # too few lines
        (LINES, STEPS // LINES - 1, 0),  # too few iterations
        (3 * LINES, STEPS // LINES, LINES),  # the last ones alone
        (30, STEPS // 20, 20),
        (0, 1, 0),
    ],
)
def test_a_stretch_has_enough_lines_and_enough_iterations(count, steps, taken):
    given = lines(count, steps, x=0.0)
    found = alarms.stretch(given)
    assert len(found) == taken
    assert list(found) == given[len(given) - taken :]


@pytest.mark.parametrize(
    "real, fake, expected",
    [
        (0.995, 0.991, {"right"}),
        (0.995, 0.98, set()),  # both have to be
        (0.98, 0.995, set()),
        (0.005, 0.009, {"wrong"}),
        (0.005, 0.02, set()),
        (0.7, 0.8, set()),
    ],
)
def test_a_discriminator_that_is_always_right_or_always_wrong(real, fake, expected):
    found = alarms.discriminators(lines(accuracy_real=real, accuracy_fake=fake, d_loss=LOSSES))
    assert on(found) == expected
    assert found.keys() == {"right", "wrong", "chance"}


def test_its_accuracy_is_the_mean_of_iterations_not_of_lines():
    given = lines(11, 100, accuracy_real=1.0, accuracy_fake=[0.9] + [1.0] * 10)
    whole = [given[0]._replace(steps=900), *given[1:]]
    assert on(alarms.discriminators(given[1:])) == {"right"}
    # Ten lines of which the first is of 900 steps: 0.9 in 900 of 1,800.
    assert on(alarms.discriminators(whole[:10])) == set()
    assert on(alarms.discriminators(whole)) == {"right"}  # of the last ten


def test_sentences_name_the_share_rounded_down_and_how_long():
    found = alarms.discriminators(lines(accuracy_real=0.999, accuracy_fake=0.9999))
    assert "in 99 % of cases for 1,000 steps" in found["right"]
    found = alarms.discriminators(lines(12, 250, accuracy_real=1.0, accuracy_fake=1.0))
    assert "in 100 % of cases for 2,500 steps" in found["right"]
    found = alarms.discriminators(lines(accuracy_real=0.0, accuracy_fake=0.0))
    assert "about 100 % of real and of generated" in found["wrong"]


def test_each_domain_has_a_discriminator_of_its_own():
    found = alarms.discriminators(lines(accuracy_a=0.995, accuracy_b=0.5, d_loss=LOSSES))
    assert on(found) == {"right_a"} and "discriminator of A has told" in found["right_a"]
    found = alarms.discriminators(lines(accuracy_b=0.995, accuracy_class=1.0, d_loss=LOSSES))
    assert on(found) == {"right_b"} and "right_a" not in found


@pytest.mark.parametrize(
    "real, fake, loss, expected",
    [
        (0.5, 0.5, 1.386, {"chance"}),
        (1.0, 0.0, 1.386, {"chance"}),  # one answer to everything
        (0.0, 1.0, 0.0, {"chance"}),
        (0.52, 0.53, 1.386, set()),  # better than chance
        (0.5, 0.5, [1.386, 1.380] * 5, {"chance"}),
        (0.5, 0.5, [1.386, 1.375] * 5, set()),  # the loss moves by 0.8 %
        (0.5, 0.5, [-0.1, 0.1] * 5, set()),
    ],
)
def test_a_discriminator_no_better_than_chance_whose_loss_stands_still(real, fake, loss, expected):
    found = alarms.discriminators(lines(accuracy_real=real, accuracy_fake=fake, d_loss=loss))
    assert on(found) == expected


def test_both_domains_have_to_be_at_chance():
    still = {"d_loss": 1.0, "accuracy_a": 0.5}
    assert (
        "The discriminators have" in alarms.discriminators(lines(accuracy_b=0.5, **still))["chance"]
    )
    assert alarms.discriminators(lines(accuracy_b=0.6, **still))["chance"] is None


def test_nothing_is_decided_without_numbers():
    assert alarms.discriminators([]) == {}
    assert alarms.discriminators(lines(9, 500, accuracy_real=1.0, accuracy_fake=1.0)) == {}
    assert alarms.discriminators(lines(d_loss=1.0)) == {}
    partly = lines(accuracy_real=1.0, accuracy_fake=1.0)
    partly[4] = partly[4]._replace(values={"accuracy_fake": 1.0})
    assert alarms.discriminators(partly) == {}


@pytest.mark.parametrize("accuracy, lasts", [(0.985, True), (0.975, False)])
def test_an_alarm_that_is_on_ends_at_a_laxer_limit(accuracy, lasts):
    given = lines(accuracy_real=accuracy, accuracy_fake=accuracy, d_loss=LOSSES)
    assert on(alarms.discriminators(given)) == set()
    assert on(alarms.discriminators(given, {"right"})) == ({"right"} if lasts else set())


def images(level, deviation, count=8, side=4, seed=0):
    """Levels 0 to 255 around one pattern, independent noise of each image added."""
    rng = np.random.default_rng(seed)
    pattern = rng.uniform(-40, 40, (side, side, 1))
    noise = rng.normal(0, 1, (count, side, side, 1)) * deviation
    return np.clip(level + pattern + noise, 0, 255).round().astype(np.uint8)


def test_the_spread_is_that_of_pairs_of_images():
    x = images(128, 30, count=7, side=5)
    pairs = [(x[i] / 255.0 - x[j] / 255.0) ** 2 for i in range(7) for j in range(i)]
    assert alarms.look(x).spread == pytest.approx(math.sqrt(np.mean(pairs) / 2), rel=1e-5)


def test_the_spread_of_kinds_is_that_within_them():
    one, two = images(60, 20, count=5), images(200, 0, count=3)
    both, kinds = np.concatenate([one, two]), np.array([0] * 5 + [1] * 3)
    within = np.mean([one.var(axis=0, ddof=1).mean()] * 4 + [0] * 2) ** 0.5 / 255
    order = np.random.default_rng(0).permutation(8)
    assert alarms.look(both[order], kinds[order]).spread == pytest.approx(within, rel=1e-5)
    assert alarms.look(both).spread > 3 * within
    assert alarms.look(both, np.arange(8)).spread is None
    assert alarms.look(both[:1]).spread is None


@pytest.mark.parametrize(
    "image, name",
    [
        (np.full((4, 4, 3), 0), "black"),
        (np.full((4, 4, 3), 25), "black"),
        (np.full((4, 4, 3), 26), "flat"),
        (np.full((4, 4, 3), 255), "white"),
        (np.full((4, 4, 3), 230), "white"),
        (np.broadcast_to([200, 30, 90], (4, 4, 3)), "flat"),  # of a colour
        (np.tile([[100, 104]], (4, 2))[..., None], "flat"),  # a deviation of 2 of 255
        (np.tile([[100, 106]], (4, 2))[..., None], None),  # of 3
        (np.eye(4)[..., None] * 30, None),  # a faint line on black
    ],
)
def test_an_image_on_which_nothing_is_to_be_seen(image, name):
    found = alarms.look(np.stack([np.uint8(image)] * 2))
    assert {x for x in alarms.EMPTY if getattr(found, x)} == ({name} if name else set())
    assert name is None or getattr(found, name) == 1.0


def test_of_large_and_many_images_a_part_is_looked_at():
    assert alarms.thinned(np.zeros((2, 64, 65, 3))).shape == (2, 64, 33, 3)
    assert alarms.thinned(np.zeros((300, 130, 1))).shape == (60, 44, 1)
    assert alarms.look(np.zeros((300, 2, 2, 1), np.uint8)).count == 256


REAL = alarms.look(images(128, 40, count=64, seed=1))


@pytest.mark.parametrize(
    "deviation, expected", [(40, set()), (6, set()), (2, {"same"}), (0, {"same"})]
)
def test_samples_that_are_nearly_the_same(deviation, expected):
    found = alarms.samples(alarms.look(images(128, deviation, count=64)), REAL, 1)
    assert on(found) == expected
    lasting = alarms.samples(alarms.look(images(128, 5, count=64)), REAL, 1, {"same"})
    assert on(lasting) == {"same"}
    assert "of a class" in alarms.samples(alarms.look(images(128, 0)), REAL, 10)["same"]


def test_samples_are_called_the_same_only_where_that_can_be_known():
    assert "same" not in alarms.samples(alarms.look(images(128, 0, count=1)), REAL, 1)
    assert "same" not in alarms.samples(alarms.look(images(128, 0)), REAL._replace(spread=0.0), 1)
    assert "same" not in alarms.samples(alarms.look(np.zeros((8, 4, 4, 1), np.uint8)), REAL, 1)


@pytest.mark.parametrize("level, name", [(0, "black"), (255, "white"), (100, "flat")])
def test_samples_on_which_nothing_is_to_be_seen(level, name):
    made = images(128, 40, count=40)
    made[:37] = level
    assert on(alarms.samples(alarms.look(made), REAL, 1)) == set()
    assert on(alarms.samples(alarms.look(made), REAL, 1, {name})) == {name}
    made[:39] = level
    found = alarms.samples(alarms.look(made), REAL, 1)
    assert on(found) == {name} and alarms.EMPTY[name] in found[name] and "97 %" in found[name]
    # Where the data are so, it is no fault of the generator.
    assert on(alarms.samples(alarms.look(made), REAL._replace(**{name: 0.6}), 1)) <= {"same"}


def translated(made, sources, on=()):
    return alarms.translations("a_to_b", made, sources, REAL, on)


def test_translations_that_are_what_they_were_made_of():
    sources = images(128, 30)
    assert on(translated(sources, sources)) == {"a_to_b/unchanged"}
    assert on(translated(sources + np.uint8(5), sources)) == {"a_to_b/unchanged"}  # 1.96 %
    assert on(translated(sources + np.uint8(6), sources)) == set()  # 2.4 %
    assert on(translated(sources + np.uint8(6), sources, {"a_to_b/unchanged"}))
    assert not on(translated(sources + np.uint8(8), sources, {"a_to_b/unchanged"}))
    found = translated(sources + np.uint8(5), sources)["a_to_b/unchanged"]
    assert found.startswith("The generator a_to_b gives its input back") and "2.0%" in found


def test_translations_that_are_the_same_or_empty_whatever_they_were_made_of():
    sources = images(128, 30)
    assert on(translated(images(100, 1, seed=2), sources)) == {"a_to_b/same"}
    assert on(translated(np.zeros_like(sources), sources)) == {"a_to_b/black"}
    assert on(translated(255 - sources, sources)) == set()
    assert on(translated(sources[:1] // 2, sources[:1])) == set()  # of one, no more is known


@pytest.mark.parametrize("count, said", [(3, False), (4, True)])
def test_empty_images_among_the_data(count, said):
    given = images(128, 40, count=64)
    given[:count] = 0  # of 64: 4.7 % or 6.2 %
    found = alarms.data("image", alarms.look(given))
    assert on(found) == ({"data/black"} if said else set())
    assert (
        not said
        or "Of 64 images of the data that were looked at, 4 are nearly black"
        in (found["data/black"])
    )
    found = alarms.data("b", alarms.look(given))
    assert on(found) == ({"data_b/black"} if said else set())


def test_data_in_0_to_1_that_were_taken_for_levels():
    found = alarms.data("image", alarms.look(images(128, 40, count=64) // 128))
    assert on(found) == {"data/black"}


def test_data_that_are_all_the_same():
    assert on(alarms.data("a", alarms.look(images(128, 2)))) == {"data_a/same"}
    assert on(alarms.data("a", alarms.look(images(128, 4)))) == set()
    assert on(alarms.data("image", alarms.look(images(128, 0, count=1)))) == set()


@pytest.mark.parametrize("vendi, begins, lasts", [(2.9, True, True), (3.1, False, True)])
def test_diversity_counts_from_1_which_is_of_images_all_alike(vendi, begins, lasts):
    values = {"vendi": vendi, "vendi_real": 11.0}  # 2 of 10, and 3 of 10 to end
    assert on(alarms.diversity(values)) == ({"vendi"} if begins else set())
    assert on(alarms.diversity(values, {"vendi"})) == ({"vendi"} if lasts else set())
    assert on(alarms.diversity(values | {"vendi": 4.1}, {"vendi"})) == set()


def test_without_both_scores_nothing_is_known_of_diversity():
    assert alarms.diversity({"vendi_real": 5.0}) == {}
    assert alarms.diversity({"vendi": 5.0}) == {}
    assert alarms.diversity({"vendi": 1.0, "vendi_real": 1.0}) == {}
