"""Exported generators: run by jax alone, with the numbers of the run they come from."""

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import gans
from gans.errors import UserError
from gans.inference import export, sampling, translating
from gans.training import train

# What a user runs elsewhere: nothing of this package.
ALONE = """
import json, sys, zipfile
import numpy as np
from jax import export
with zipfile.ZipFile(sys.argv[1]) as file:
    generator = export.deserialize(bytearray(file.read("generator.jaxexport")))
    about = json.loads(file.read("about.json"))
inputs = np.load(sys.argv[2])
np.save(sys.argv[3], generator.call(*[inputs[name] for name in inputs.files]))
assert not any(name == "gans" or name.startswith("flax") for name in sys.modules)
"""


def run_alone(exported, tmp_path, *inputs):
    export.save(tmp_path / "generator.zip", exported)
    np.savez(tmp_path / "inputs.npz", *inputs)
    files = [str(tmp_path / name) for name in ("generator.zip", "inputs.npz", "outputs.npy")]
    subprocess.run([sys.executable, "-c", ALONE, *files], check=True, cwd=tmp_path)
    return np.load(tmp_path / "outputs.npy")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    from configs import cgan_digits

    config = cgan_digits.get_config("test")
    config.mesh.data = 1
    config.evaluators.quality.every_steps = 0
    config.evaluators.overfitting.every_steps = 0
    config.train.num_steps = 2
    workdir = tmp_path_factory.mktemp("digits")
    train.run(config, workdir)
    return workdir


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    from configs import cyclegan_monet2photo_resnet

    config = cyclegan_monet2photo_resnet.get_config("test")
    config.mesh.data = 1
    config.evaluators.quality.every_steps = 0
    config.train.num_steps = 2
    workdir = tmp_path_factory.mktemp("paper")
    train.run(config, workdir)
    return workdir


def test_a_conditional_generator_runs_without_the_package(digits, tmp_path):
    exported = export.export(digits)
    sampler = gans.load(digits)
    latent = np.asarray(sampling.latents(3, 0, 5, sampler.latent_dim))
    label = np.eye(10, dtype=np.float32)[:5]
    images = run_alone(exported, tmp_path, latent, label)
    expected = sampler.sample(5, seed=3)
    np.testing.assert_allclose(images.astype(int), expected.astype(int), atol=1)
    with zipfile.ZipFile(tmp_path / "generator.zip") as file:
        about = json.loads(file.read("about.json"))
    assert about["config"]["game"]["latent_dim"] == sampler.latent_dim
    assert about["classes"] == list(sampler.classes) and about["step"] == 2


def test_a_translator_takes_images_of_several_sizes(paper):
    from jax import export as jax_export

    exported = export.export(paper, direction="b_to_a")
    program = jax_export.deserialize(bytearray(exported.program))
    translator = translating.load(paper, direction="b_to_a")
    for size in ((32, 32), (36, 44)):
        image = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
        made = np.asarray(program.call(image)).astype(int)
        for one, got in zip(image, made, strict=True):
            np.testing.assert_allclose(got, translator.translate(one).astype(int), atol=1)


def test_a_direction_is_asked_for_where_there_are_two_and_only_there(digits, paper):
    with pytest.raises(UserError, match="choose the direction a_to_b or b_to_a"):
        export.export(paper)
    with pytest.raises(UserError, match="has no direction"):
        export.export(digits, direction="a_to_b")
