"""PyTorch's side of each task, with the methods of our sides: see `benchmark.ours`.

Instead of `question` it has `answer`, which computes what ours was asked.
"""

from __future__ import annotations

import contextlib
import random
import time
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import torch
from torch import nn

from experiments.studies.benchmark import data, machine
from experiments.studies.benchmark.cases import Case
from experiments.studies.benchmark.ceiling import LARGE, SMALL, best
from experiments.studies.benchmark.peers import build, games, layers
from experiments.studies.benchmark.variants import Variant
from gans.data.source import Source

_BATCH = 256  # images sampled at once, as by ours


def side(case: Case, variant: Variant) -> Side:
    """PyTorch's side of a case."""
    return {"train": Training, "sample": Sampling, "translate": Translating}[case.task](
        case, variant
    )


class Side:
    """What all sides share: the device, the variant, and networks made for it."""

    def __init__(self, case: Case, variant: Variant):
        torch.set_num_threads(machine.cores())
        torch.set_flush_denormal(True)
        warnings.filterwarnings("ignore", ".*dynamo_pgo.*")  # that its cache is off, as is meant
        torch.backends.cudnn.benchmark = True
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # What jax does by itself on a GPU.
        torch.set_float32_matmul_precision("high")
        self.case, self.variant, self.config = case, variant, case.read_config()
        self._before = machine.peak_memory()
        self.layout = getattr(
            torch, "channels_last" if variant.layout == "channels_last" else "contiguous_format"
        )
        self.source = data.source(self.config)
        self.info = self.source.info(self.config.data.labels)

    def facts(self) -> dict[str, Any]:
        """What is known without running anything further."""
        on_gpu = self.device.type == "cuda"
        return {
            "grain": 1,
            "variant": self.variant.name,
            "threads": torch.get_num_threads(),
            "memory_before_mib": round(self._before / 2**20),
            "peak_memory_mib": round(machine.peak_memory() / 2**20),
            "peak_device_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20)
            if on_gpu
            else None,
        }

    def first(self) -> float:
        """Seconds of the first iteration."""
        return self.block(1)[0]

    def block(self, count: int) -> tuple[float, float]:
        """Seconds of iterations; data is at hand."""
        start = time.perf_counter()
        for _ in range(count):
            self.iteration()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start, 0.0

    def prepared(self, net: nn.Module) -> nn.Module:
        """A network on the device, as the variant has it."""
        net.to(self.device, memory_format=self.layout)
        if self.variant.mixed:
            net.forward = torch.autocast(self.device.type, torch.bfloat16)(net.forward)
        # Compiled passes of a spectrally normalised network move the vectors of those before them,
        # which their gradients need: PyTorch 2.13 refuses these.
        if self.variant.compiled and not any("weight_u" in name for name, _ in net.named_buffers()):
            net.compile(mode=self.variant.compiled, dynamic=False)
        return net

    def images(self, x: np.ndarray) -> torch.Tensor:
        """Float `[B, H, W, C]` on the host as `[B, C, H, W]` on the device."""
        x = torch.from_numpy(np.array(x)).to(self.device).permute(0, 3, 1, 2)
        return x.contiguous(memory_format=self.layout)

    def rows(self, x: np.ndarray) -> torch.Tensor:
        """Vectors on the host as they are on the device."""
        return torch.from_numpy(np.array(x)).to(self.device)


class Training(Side):
    """Iterations of training on uint8 images that lie on the device."""

    def __init__(self, case: Case, variant: Variant):
        super().__init__(case, variant)
        nets = build.networks(self.config, self.info)
        self._nets = {name: self.prepared(net).train() for name, net in nets.items()}
        self._iterate = games.iteration(self.config, self._nets)
        self._domains = {
            name: torch.from_numpy(domain.images).to(self.device)
            for name, domain in self.source.domains.items()
        }

    def block(self, count: int) -> tuple[float, float]:
        """Seconds of iterations; losses are read by the host once for all."""
        start = time.perf_counter()
        terms = []
        for _ in range(count):
            self._mark()
            batch = self._batch()
            terms.append(list(self._iterate(batch, self._iterate.draw(batch)).values()))
        torch.stack([torch.stack(each) for each in terms]).cpu()
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start, 0.0

    def _mark(self) -> None:
        if self.variant.compiled == "reduce-overhead":
            torch.compiler.cudagraph_mark_step_begin()

    def _batch(self) -> dict[str, torch.Tensor]:
        batch = {}
        for name, images in self._domains.items():
            source, size = self.source.domains[name], self.config.data.batch_size
            index = torch.randint(len(images), (size,), device=self.device)
            if "load_size" in self.config.data:
                chosen = self._crops(images, index, source)
            else:
                chosen = mirrored(images[index]) if self.config.data.flip else images[index]
            pixels = chosen.permute(0, 3, 1, 2).to(torch.float32, memory_format=self.layout)
            batch[name] = pixels / 127.5 - 1.0
            if self.config.data.labels:
                labels = torch.from_numpy(source.labels).to(self.device)[index].long()
                batch["label"] = nn.functional.one_hot(labels, len(source.classes)).float()
        return batch

    def _crops(self, images: torch.Tensor, index: torch.Tensor, source: Source) -> torch.Tensor:
        """Squares at random places, half of them mirrored where the config has it."""
        side = source.image_shape[0]
        crops = []
        for image in images[index]:
            top, left = (random.randint(0, extent - side) for extent in image.shape[:2])
            crop = image[top : top + side, left : left + side]
            is_mirrored = self.config.data.flip and random.random() < 0.5
            crops.append(crop.flip(1) if is_mirrored else crop)
        return torch.stack(crops)

    def answer(self, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Every loss term in some iterations from given networks, with new optimizers."""
        for name, variables in given["nets"].items():
            layers.copy(variables, self._nets[name])
        batch = {
            name: self.rows(x) if name == "label" else self.images(x)
            for name, x in given["batch"].items()
        }
        noise = jax.tree.map(self.rows, given["noise"])
        iterate = games.iteration(self.config, self._nets)
        found = []
        with _precisely(), _without_dropout(self._nets.values()):
            for _ in range(given["iterations"]):
                self._mark()
                found.append({name: x.item() for name, x in iterate(batch, noise).items()})
        return {name: np.array([terms[name] for terms in found]) for name in found[0]}


def mirrored(images: torch.Tensor) -> torch.Tensor:
    """Images `[B, H, W, C]`, each with probability 1/2 mirrored."""
    is_mirrored = torch.rand((len(images), 1, 1, 1), device=images.device) < 0.5
    return torch.where(is_mirrored, images.flip(2), images)


class _Generating(Side):
    """What tasks with one generator share."""

    net_name: str

    def __init__(self, case: Case, variant: Variant):
        super().__init__(case, variant)
        spec = self.config.nets[self.net_name]
        self.net = self.prepared(build.network(spec, self.config, self.info)).eval()

    @torch.inference_mode()
    def output(self, given: Mapping[str, Any]) -> np.ndarray:
        """What the network of the question gives for its inputs, `[B, H, W, C]`."""
        layers.copy(given["nets"][self.net_name], self.net)
        inputs = [self.images(x) if x.ndim == 4 else self.rows(x) for x in given["inputs"]]
        with _precisely():
            return self.net(*inputs).permute(0, 2, 3, 1).cpu().numpy()


def _to_uint8(images: torch.Tensor) -> np.ndarray:
    pixels = ((images + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


class Sampling(_Generating):
    """Images from latent vectors, to arrays on the host."""

    net_name = "generator"

    @torch.inference_mode()
    def iteration(self) -> None:
        """Makes them in batches of one size, so that one program is compiled."""
        num, classes = self.case.fields["num"], len(self.info.classes)
        blocks, size = [], min(num, _BATCH)
        for start in range(0, num, _BATCH):
            latent = torch.randn((size, self.config.game.latent_dim), device=self.device)
            number = torch.arange(start, start + size, device=self.device)
            label = (nn.functional.one_hot(number % classes, classes).float(),) if classes else ()
            blocks.append(_to_uint8(self.net(latent, *label))[: num - start])
        np.concatenate(blocks)

    def answer(self, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The images of given latent vectors."""
        return {"images": self.output(given)}


class Translating(_Generating):
    """A picture translated as a whole."""

    net_name = "generator_ab"

    def __init__(self, case: Case, variant: Variant):
        super().__init__(case, variant)
        self._picture = data.photograph(
            case.fields["height"], case.fields["width"], self.info.image_shape[-1]
        )

    @torch.inference_mode()
    def iteration(self) -> None:
        """From uint8 on the host to uint8 on the host."""
        pixels = torch.from_numpy(self._picture).to(self.device)[None].permute(0, 3, 1, 2)
        image = pixels.to(torch.float32, memory_format=self.layout) / 127.5 - 1.0
        _to_uint8(self.net(image))

    def answer(self, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The picture's translation, in levels of 255."""
        levels = np.clip(np.round((self.output(given) + 1.0) * 127.5), 0, 255)
        return {"levels": levels.astype(np.float32)}


@contextlib.contextmanager
def _precisely():
    """Without TensorFloat-32, whose rounding would hide small differences."""
    was = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(was[0])
        torch.backends.cudnn.allow_tf32 = was[1]


@contextlib.contextmanager
def _without_dropout(nets):
    """Masks are drawn at random, by each side its own, so none are drawn to be compared."""
    found = [m for net in nets for m in net.modules() if isinstance(m, nn.Dropout)]
    rates = [dropout.p for dropout in found]
    for dropout in found:
        dropout.p = 0.0
    try:
        yield
    finally:
        for dropout, rate in zip(found, rates, strict=True):
            dropout.p = rate


class Probe:
    """What PyTorch finds here, and the most it was seen to do: see `benchmark.ceiling`."""

    def has_gpu(self) -> bool:
        """Whether there is one."""
        return torch.cuda.is_available()

    def measure(self, dtype: str) -> dict[str, Any]:
        """FLOP/s of matrix products in `dtype`."""
        torch.set_num_threads(machine.cores())
        on_gpu = torch.cuda.is_available()
        torch.set_float32_matmul_precision("high")
        device = "cuda" if on_gpu else "cpu"
        rates = []
        for size in LARGE if on_gpu else SMALL:
            x = torch.ones((size, size), dtype=getattr(torch, dtype), device=device)

            def product(x: torch.Tensor = x) -> None:
                x @ x
                if on_gpu:
                    torch.cuda.synchronize()

            rates.append(2.0 * size**3 / best(product))
        return {"dtype": dtype, "flop_per_second": max(rates)}
