"""Sampling from a run folder: reproducible, by class, in constant memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gans
from gans.errors import UserError
from gans.files import writing
from gans.inference import sampling
from gans.runs import run_folder
from gans.runs.checkpoints import Checkpoints
from gans.training import train


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    from configs import cgan_digits

    config = cgan_digits.get_config("test")
    config.mesh.data = 1
    config.evaluators.quality.every_steps = 0
    config.evaluators.overfitting.every_steps = 0
    workdir = tmp_path_factory.mktemp("run")
    train.run(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def sampler(workdir):
    return gans.load(workdir)


def test_an_image_depends_on_seed_index_and_class_alone(sampler, monkeypatch):
    monkeypatch.setattr(sampling, "_BATCH", 4)
    many = sampler.sample(10, seed=3)
    assert many.shape == (10, 32, 32, 1) and many.dtype == np.uint8
    np.testing.assert_array_equal(sampler.sample(10, seed=3), many)
    # Other batch sizes may round a value on the edge of two grey levels differently.
    few = sampler.sample(3, seed=3)
    np.testing.assert_allclose(few.astype(int), many[:3].astype(int), atol=1)
    assert (sampler.sample(3, seed=4) != few).any()


def test_the_checkpoint_gives_the_generator_that_training_ended_with(workdir, sampler):
    newest = gans.load(workdir, step=6)
    older = gans.load(workdir, step=4)
    assert (newest.step, older.step, sampler.step) == (6, 4, 6)
    np.testing.assert_array_equal(newest.sample(2), sampler.sample(2))
    kernel = lambda s: s.net.params["Dense_0"]["kernel"]  # noqa: E731
    assert (kernel(older) != kernel(newest)).any()


def test_samples_are_the_generator_in_inference_mode(sampler):
    latent = sampling.latents(0, 0, 2, sampler.latent_dim)
    label = jax.nn.one_hot(jnp.array([3, 5]), 10)
    variables = {"params": sampler.net.params, **sampler.net.model_state}
    images = sampler.net.apply_fn(variables, latent, label, train=False)
    expected = np.clip(np.round((np.asarray(images, np.float64) + 1) * 127.5), 0, 255)
    got = sampler.sample(2, classes=[3, "5"])
    np.testing.assert_allclose(got.astype(float), expected, atol=1)


def test_classes_are_repeated_in_turn_and_labelled(sampler):
    blocks = list(sampler.stream(5, classes=["7", 1]))
    np.testing.assert_array_equal(blocks[0]["labels"], [7, 1, 7, 1, 7])
    np.testing.assert_array_equal(next(sampler.stream(12))["labels"], np.arange(12) % 10)


@pytest.mark.parametrize("wrong", ["cat", 10, -1, "-1"])
def test_an_unknown_class_is_named_with_those_there_are(sampler, wrong):
    with pytest.raises(UserError, match=r"There is no class .*; there are 0 0, 1 1"):
        sampler.sample(1, classes=[wrong])


def test_latents_are_normal_and_differ_between_images():
    z = np.asarray(sampling.latents(0, 0, 500, 100))
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02
    np.testing.assert_array_equal(sampling.latents(0, 100, 5, 100), z[100:105])
    assert len(np.unique(z[:, 0])) == 500


def test_slerp_runs_along_the_circle_through_both_ends():
    path = np.asarray(sampling.slerp(jnp.array([3.0, 0.0]), jnp.array([0.0, 3.0]), 3))
    np.testing.assert_allclose(path, [[3, 0], [4.5**0.5, 4.5**0.5], [0, 3]], atol=1e-6)


def test_an_interpolation_starts_and_ends_at_the_seeds_own_images(sampler):
    rows = sampler.interpolate((1, 2), 4, classes=[3, 5])
    assert rows.shape == (8, 32, 32, 1)
    for row, number in zip(rows.reshape(2, 4, 32, 32, 1), (3, 5), strict=True):
        for image, seed in ((row[0], 1), (row[-1], 2)):
            alone = sampler.sample(1, seed=seed, classes=[number])[0]
            np.testing.assert_allclose(image.astype(int), alone.astype(int), atol=1)
    same = sampler.interpolate((1, 1), 3, classes=[3])
    np.testing.assert_array_equal(same[0], same[2])


def test_an_npz_holds_the_same_images_written_block_by_block(sampler, tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "_BATCH", 4)
    path = tmp_path / "samples.npz"
    writing.save_npz(path, 10, sampler.image_shape, sampler.stream(10, seed=1))
    with np.load(path) as arrays:
        np.testing.assert_array_equal(arrays["images"], sampler.sample(10, seed=1))
        np.testing.assert_array_equal(arrays["labels"], np.arange(10))


def test_a_generator_without_classes_refuses_them(sampler):
    plain = sampling.Sampler(
        sampler.net, latent_dim=sampler.latent_dim, classes=(), image_shape=(32, 32, 1), step=0
    )
    with pytest.raises(UserError, match="without labels"):
        plain.sample(1, classes=[1])


def test_a_folder_without_a_run_or_checkpoint_is_said_to_be_so(workdir, tmp_path):
    with pytest.raises(UserError, match="There is no run in"):
        gans.load(tmp_path)
    for name in ("config.json", "data.json"):
        (tmp_path / name).write_bytes((workdir / name).read_bytes())
    with pytest.raises(UserError, match="no checkpoint yet"):
        gans.load(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "data.json"]
    with pytest.raises(UserError, match="available: 4, 6"):
        gans.load(workdir, step=5)


def test_averaged_parameters_are_used_where_they_are_kept(sampler):
    zeros = jax.tree.map(jnp.zeros_like, sampler.net.params)
    averaged = sampler.net.replace(ema_params=zeros, ema_model_state=sampler.net.model_state)
    images = sampling.render(averaged, jnp.ones((1, sampler.latent_dim)), jnp.ones((1, 10)))
    np.testing.assert_array_equal(images, 128)  # tanh(0) = 0


def test_a_generator_whose_numbers_are_not_finite_is_refused(workdir, tmp_path):
    config, info = run_folder.read_config(workdir), run_folder.read_info(workdir)
    restored = run_folder.restore(workdir, run_folder.experiment(workdir), info, None)
    net = restored.state.nets["generator"]
    params = jax.tree.map(lambda x: x, net.params)
    params["Dense_0"]["bias"] = params["Dense_0"]["bias"].at[3].set(jnp.nan)
    average = None if net.ema_params is None else params
    nets = {**restored.state.nets, "generator": net.replace(params=params, ema_params=average)}
    run_folder.note(tmp_path, config, info)
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        checkpoints.save(6, restored.state.replace(nets=nets), {"iteration": 6})
    with pytest.raises(UserError, match="The generator of step 6 in .*: 1 of the .* not finite"):
        gans.load(tmp_path)


@pytest.mark.parametrize("seed", [-1, 2**32, 2**70, 1.5, None])
def test_a_seed_that_jax_would_take_for_another_is_refused(sampler, seed):
    with pytest.raises(
        UserError, match="seed is .*; it must be a whole number from 0 to 4,294,967"
    ):
        sampler.sample(1, seed=seed)
    with pytest.raises(UserError, match=r"seeds is \(1, .*; each must be a whole number"):
        sampler.interpolate((1, seed), 3)
