"""The network of FID against torch-fidelity's, with the same file of random weights."""

import functools
import hashlib
import http.server
import importlib
import sys
import threading

import jax
import numpy as np
import pytest
import torch
from closeness import assert_no_further

from gans.errors import UserError
from gans.evaluation.features import inception


@pytest.fixture(scope="module")
def theirs(torch_fidelity):
    """Their network, called with its name, the features wanted, and the file of its weights."""
    name = f"{torch_fidelity.__name__}.feature_extractor_inceptionv3"
    return importlib.import_module(name).FeatureExtractorInceptionV3


def randomise(state):
    """Weights of which each matters, and with which numbers stay of the order of one."""
    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if value.ndim > 1:  # He et al. 2015, arXiv:1502.01852
            value.normal_(0.0, (2.0 / value[0].numel()) ** 0.5, generator=generator)
        elif name.endswith(("running_var", "bn.weight")):
            value.uniform_(0.5, 1.5, generator=generator)
        elif not name.endswith("num_batches_tracked"):
            value.normal_(0.0, 0.1, generator=generator)


@pytest.fixture(scope="module")
def path(theirs, tmp_path_factory):
    """A file like the published one."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save({}, folder / "nothing.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(theirs, "load_state_dict", lambda self, nothing: None)
        state = theirs("random", ["2048"], str(folder / "nothing.pth")).state_dict()
    randomise(state)
    torch.save(state, folder / "random.pth")
    return folder / "random.pth"


@pytest.fixture(scope="module")
def net(path, tmp_path_factory):
    """Our network with these weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return inception.load(path)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder in which `load` keeps files, not made yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gans"


def images(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def nchw(x):
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


# What it sees.


def network_of(theirs, path, dtype):
    """Their network computing in `dtype`; its own option for float64 is one for float32."""
    network = theirs("theirs", ["2048", "logits_unbiased"], str(path)).to(dtype)
    network.feature_extractor_internal_dtype = dtype
    return network


def test_features_and_logits_are_those_of_torch_fidelity(theirs, path, net):
    networks = [network_of(theirs, path, dtype) for dtype in (torch.float32, torch.float64)]
    batches = [images(1, *size, 3) for size in [(32, 32), (17, 45), (299, 299), (301, 256)]]
    expected, exact = ([network(nchw(x)) for x in batches] for network in networks)
    found = [net.apply(net.variables, x) for x in batches]
    for i, width in enumerate((2048, 1008)):
        sides = (np.concatenate([seen[i] for seen in side]) for side in (found, expected, exact))
        y, wanted, right = sides
        assert (y.shape, y.dtype) == ((4, width), np.float32)
        assert_no_further(y, wanted, right)
        # Images differ by far more.
        assert 0.1 < wanted.std(0).mean() < wanted.std() < 10


@pytest.mark.parametrize("size", [(32, 32), (1, 1), (17, 400), (299, 299), (301, 256)])
def test_resize_is_that_of_torch_fidelity(torch_fidelity, size):
    x = images(2, *size, 3).astype(np.float32)
    name = f"{torch_fidelity.__name__}.interpolate_compat_tensorflow"
    resize = importlib.import_module(name).interpolate_bilinear_2d_like_tensorflow1x
    expected, exact = (
        resize(pixels, size=(299, 299), align_corners=False).numpy().transpose(0, 2, 3, 1)
        for pixels in (nchw(x), nchw(x).double())
    )
    assert_no_further(inception.resize(x), expected, exact)


def test_a_grey_image_is_seen_as_one_of_three_equal_channels(theirs, path, net):
    grey = images(1, 28, 28, 1)
    seen = net.apply(net.variables, grey)
    repeated = net.apply(net.variables, grey.repeat(3, -1))
    assert np.std(seen.features) > 0.1
    exact = network_of(theirs, path, torch.float64)(nchw(grey.repeat(3, -1)))[0]
    assert_no_further(seen.features, repeated.features, exact.numpy())


def test_the_whole_can_be_compiled(net):
    seen = jax.eval_shape(net, jax.ShapeDtypeStruct((7, 32, 32, 3), np.uint8))
    assert [(x.shape, x.dtype) for x in seen] == [((7, 2048), "float32"), ((7, 1008), "float32")]


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((1, 8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
    ],
)
def test_other_than_images_are_refused(net, x):
    with pytest.raises(ValueError, match=r"not uint8 \[B, H, W, 1 or 3\]"):
        net.apply(net.variables, x)


# Where its weights come from.


@pytest.fixture
def server(path, monkeypatch):
    """Serves the file as if it were the published one; its list of requests."""
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            super().do_GET()

        def log_message(self, *args):
            pass

    handler = functools.partial(Handler, directory=path.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as http_server:
        threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{http_server.server_port}/{path.name}"
        monkeypatch.setattr(inception, "URL", url)
        monkeypatch.setattr(inception, "SIZE", path.stat().st_size)
        monkeypatch.setattr(inception, "SHA256", sha256(path))
        yield requests
        http_server.shutdown()


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_equal(net, other):
    assert (net.name, net.weights, net.resize) == (other.name, other.weights, other.resize)
    jax.tree.map(np.testing.assert_array_equal, net.variables, other.variables)


def without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)


def test_weights_are_fetched_once_and_torch_is_needed_once(path, net, server, cache, monkeypatch):
    first = inception.load()
    assert first.weights == sha256(path)
    assert_equal(first, net)
    without_torch(monkeypatch)
    (cache / inception.FILE).unlink()
    assert_equal(inception.load(), net)
    assert_equal(inception.load(path), net)
    assert len(server) == 1
    assert not list(cache.glob("*.part"))


def test_a_file_fetched_by_hand_is_used(path, net, server, cache):
    cache.mkdir(parents=True)
    (cache / inception.FILE).symlink_to(path)
    # A converted file that is damaged is made anew.
    converted = cache / f"inception-{net.weights}.npz"
    converted.write_bytes(b"PK\3\4 and no more")
    assert_equal(inception.load(), net)
    assert not server
    assert converted.stat().st_size > 80e6


def test_a_converted_file_of_other_shapes_is_not_used(path, net, cache, monkeypatch):
    cache.mkdir(parents=True)
    np.savez(cache / f"inception-{net.weights}.npz", **{"fc/kernel": np.zeros((2048, 1000))})
    without_torch(monkeypatch)
    with pytest.raises(UserError, match="PyTorch is needed"):
        inception.load(path)


def test_a_given_file_needs_no_cache(path, net, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert_equal(inception.load(path), net)
    with pytest.raises(UserError, match="Cannot keep the weights .* set XDG_CACHE_HOME"):
        inception.load()


def test_other_bytes_are_discarded(server, cache, monkeypatch):
    monkeypatch.setattr(inception, "SHA256", "0" * 64)
    with pytest.raises(UserError, match="file other than the expected one"):
        inception.load()
    assert [path.name for path in cache.iterdir()] == [".lock"]


def test_without_a_network_the_message_says_what_to_do(cache, monkeypatch):
    monkeypatch.setattr(inception, "URL", "http://127.0.0.1:9/weights.pth")
    with pytest.raises(UserError) as caught:
        inception.load()
    message = str(caught.value)
    assert message.startswith("Cannot download http://127.0.0.1:9/weights.pth (")
    assert f"put it at {cache / inception.FILE}" in message
    assert "\n" not in message


def saved(tensors):
    def save(path):
        torch.save({name: torch.zeros(shape) for name, shape in tensors.items()}, path)

    return save


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (lambda path: None, "Cannot read .*wrong.pth: No such file or directory"),
        (lambda path: path.mkdir(), "Cannot read .*wrong.pth: Is a directory"),
        (lambda path: path.write_text("weights"), "no file of torch.save"),
        (
            saved({"layer.weight": (3, 3)}),
            r"wrong.pth does not hold the weights of the InceptionV3 of FID, which has "
            r"Conv2d_1a_3x3.conv.weight of shape \(32, 3, 3, 3\): the file has none of that name.",
        ),
        (
            saved({"Conv2d_1a_3x3.conv.weight": (32, 1, 3, 3)}),
            r"has Conv2d_1a_3x3.conv.weight of shape \(32, 3, 3, 3\): "
            r"the file has one of shape \(32, 1, 3, 3\).",
        ),
    ],
)
def test_a_wrong_file_is_refused(cache, tmp_path, save, message):
    save(tmp_path / "wrong.pth")
    with pytest.raises(UserError, match=message):
        inception.load(tmp_path / "wrong.pth")
    assert not cache.exists()
