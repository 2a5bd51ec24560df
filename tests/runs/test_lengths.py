"""Lengths in epochs of the data at hand, and runs that began before there were such."""

import numpy as np
import pytest

from configs import cyclegan_monet2photo, cyclegan_monet2photo_resnet, dcgan_cifar10, dcgan_digits
from gans.config import schema
from gans.data import arrays, unpaired
from gans.data.source import DataInfo
from gans.runs import lengths, run_folder
from gans.training import replicas

IMAGES = np.zeros((7, 8, 8, 3), np.uint8)
PAIR = unpaired.source(IMAGES, IMAGES[:4], image_size=8)  # an epoch of 7


def test_lengths_in_epochs_follow_the_data():
    config = cyclegan_monet2photo_resnet.get_config()
    assert config.train.num_steps == 200 * 6287
    found = lengths.of_data(config, PAIR)
    assert (found.train.epoch_steps, found.train.num_steps) == (7, 1400)
    assert found.checkpoint.every_steps == found.evaluators.quality.every_steps == 35
    assert config.train.num_steps == 200 * 6287  # whose config it is, still has it
    config.data.batch_size = 3  # two whole batches, and one image
    assert lengths.of_data(config, PAIR).train.num_steps == 600
    assert schema.to_plain(found)["train"]["num_steps"] == 1400


def test_what_is_set_in_iterations_stays_and_epochs_may_be_in_parts():
    config = cyclegan_monet2photo.get_config()
    config.update_from_flattened_dict({"train.num_steps": 50, "checkpoint.every_steps": 9})
    found = lengths.of_data(config, PAIR)
    assert (found.train.num_steps, found.checkpoint.every_steps) == (50, 9)
    assert found.evaluators.quality.every_steps == 35
    config = cyclegan_monet2photo.get_config()
    config.train.num_epochs = 1.5
    assert lengths.of_data(config, PAIR).train.num_steps == 10


def test_a_config_in_iterations_is_as_it_was():
    config = dcgan_cifar10.get_config()
    assert lengths.of_data(config, arrays.source(np.zeros((9, 32, 32, 3), np.uint8))) is config


def stored(workdir, config):
    run_folder.note(workdir, config, DataInfo(7, (8, 8, 3)))


def test_a_run_is_resumed_at_the_lengths_of_its_data(tmp_path):
    config = cyclegan_monet2photo_resnet.get_config()
    assert lengths.as_begun(tmp_path, config) is config
    stored(tmp_path, lengths.of_data(config, PAIR))
    again = lengths.as_begun(tmp_path, config)
    # Before the data is loaded: a falling learning rate ends with the run.
    run_folder.check(tmp_path, again)
    assert again.train.num_steps == 1400
    assert schema.to_plain(lengths.of_data(again, PAIR)) == schema.to_plain(again)


def test_a_run_of_before_lengths_followed_the_data_keeps_its_length(tmp_path):
    config = cyclegan_monet2photo_resnet.get_config()
    old = cyclegan_monet2photo_resnet.get_config().copy_and_resolve_references()
    with old.unlocked():
        del old.train["num_epochs"], old.train["epoch_steps"]
        for spec in old.optim.values():
            del spec["ema_warmup"]
    stored(tmp_path, old)
    for _ in range(2):  # also where it was resumed once
        again = lengths.of_data(lengths.as_begun(tmp_path, config), PAIR)
        run_folder.check(tmp_path, again)
        assert again.train.num_steps == 200 * 6287
        assert schema.to_plain(again) == schema.to_plain(old)
        stored(tmp_path, again)


def test_a_run_of_before_averages_warmed_up_goes_on_as_it_began(tmp_path):
    config = dcgan_digits.get_config("test")
    old = dcgan_digits.get_config("test")
    with old.unlocked():
        for spec in old.optim.values():
            del spec["ema_warmup"], spec["shared_count"]
    stored(tmp_path, old)
    again = lengths.as_begun(tmp_path, config)
    run_folder.check(tmp_path, again)
    assert "ema_warmup" not in again.optim.generator
    assert again.optim.generator.ema_decay == 0.99
    assert config.optim.generator.ema_warmup == 10.0 and again.is_locked


def test_seeds_of_one_program_follow_their_data_too():
    configs = replicas.seeds(cyclegan_monet2photo.get_config(), 2)
    assert [lengths.of_data(c, PAIR).train.num_steps for c in configs.values()] == [140, 140]
    assert [config.seed for config in configs.values()] == [0, 1]


@pytest.mark.parametrize("form", ["", "test"])
def test_new_runs_average_with_a_warm_up(form):
    from gans.config import build

    config = dcgan_digits.get_config(form)
    start = build.of_run(config).start(DataInfo(9, (32, 32, 1)))
    averages = start.keywords["averages"]
    assert {net: kept["ema_warmup"] for net, kept in averages.items()} == {
        "generator": 10.0,
        "discriminator": 10.0,
    }
