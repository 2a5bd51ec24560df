"""Names of components: what can be named, and that nothing else can."""

import pytest

from gans.config import build, names
from gans.errors import UserError
from gans.models import dcgan


def test_what_a_module_defines_is_found():
    assert build.find("models", "dcgan.Generator") is dcgan.Generator


@pytest.mark.parametrize(
    "name",
    [
        "dcgan",
        "",
        ".",
        "dcgan.",
        ".Generator",
        "dcgan..Generator",
        "dcgan.__file__",
        "dcgan.__name__",
        "dcgan.__dict__",
        "dcgan._trunk",
        "dcgan.nn",
        "dcgan.jnp",
        "dcgan.Conv",
        "dcgan.annotations",
        "dcgan.Generator.__init__",
        "dcgan.Generator.x",
        "..losses.adversarial.LOSSES",
        "/etc/passwd.x",
        "dcgan/x.Generator",
        "dcgan.Gener ator",
        "dcgan.G\0",
        "dcgan.Generator\n",
        "d\u0441gan.Generator",
        "absent.Generator",
        7,
        None,
    ],
)
def test_anything_else_is_refused_in_one_sentence(name):
    with pytest.raises(
        UserError, match=r"^There is no gans\.models\.(.|\n)*; .*(has|are) "
    ) as error:
        build.find("models", name)
    assert "dcgan" in str(error.value) and str(error.value).endswith(".")


def test_a_module_that_lacks_another_says_which(monkeypatch):
    def import_module(path):
        if path == "gans.models.mine":
            raise ModuleNotFoundError("No module named 'einops'", name="einops")
        raise AssertionError

    monkeypatch.setattr(names.importlib, "import_module", import_module)
    with pytest.raises(UserError, match="gans.models.mine needs einops, which is not installed"):
        build.find("models", "mine.Generator")


def test_a_function_is_no_network_and_no_game(config):
    config.nets.generator.name = "layers.Conv"
    wrong = config.copy_and_resolve_references()
    wrong.game.name = "latent.condition"
    with pytest.raises(UserError, match="no field 'adversarial'"):
        build.game(wrong)
    config.nets.generator.name = "dcgan.Generator"
    config.nets.discriminator.name = "doubling.resize"
    with pytest.raises(UserError, match="doubling"):
        build.nets(config)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("colums", "preview.name has no field 'colums': did you mean 'columns'"),
        ("latent_dim", "preview.name has no field 'latent_dim'"),
    ],
)
def test_a_field_that_a_preview_does_not_have_is_known_without_data(config, field, message):
    with config.unlocked():
        config.preview[field] = 3
    with pytest.raises(UserError, match=message):
        build.experiment(config)
