"""CycleGAN: two domains, a generator each way, a discriminator for each (arXiv:1703.10593).

Zhu et al. 2017, section 3: `generator_ab` is the paper's G: X -> Y and `generator_ba` its
F: Y -> X; `discriminator_a` and `discriminator_b` judge images of A and B.

All gradients of an iteration are taken at the parameters it began with. The fakes that the
generators made for their own loss are the ones that the discriminators judge, after an
exchange with a pool of earlier ones. Every forward pass of a generator drops numbers anew.

A generator translates one domain and leaves the other as it is in a single pass, and so does
a discriminator judge real images and fakes: it is faster than two, and the same, for no layer
of CycleGAN looks at more than one image.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping

import jax
import jax.numpy as jnp

from gans.core.state import NetState
from gans.core.types import (
    Batch,
    Extras,
    Game,
    Memory,
    Metrics,
    Nets,
    Outcome,
    Player,
    Translation,
)
from gans.games import memory
from gans.games.judge import told, verdict
from gans.losses.adversarial import Adversarial
from gans.losses.reconstruction import l1

GENERATORS = ("generator_ab", "generator_ba")
DISCRIMINATORS = ("discriminator_a", "discriminator_b")
G_TERMS = ("adversarial_ab", "adversarial_ba", "cycle_a", "cycle_b", "identity_a", "identity_b")
D_TERMS = ("real_a", "fake_a", "real_b", "fake_b")
WAYS = {
    "a_to_b": Translation("generator_ab", "a", "b"),
    "b_to_a": Translation("generator_ba", "b", "a"),
}
FAKES = {"fake_a": "a", "fake_b": "b"}


def game(
    *, adversarial: Adversarial, pool_size: int, terms: Collection[str] = (*G_TERMS, *D_TERMS)
) -> Game:
    """The game of the paper, whose adversarial loss is `least_squares` and pool size 50.

    Loss terms of the generators, for either direction: `adversarial_ab` is what
    `discriminator_b` says of B made from A; `cycle_a` is how far A is from A made of B made
    of A (eq. 2); `identity_a` is how far `generator_ba`, whose work it is to make A, leaves
    A as it is (section 5.2). Of the discriminators: `real_a`, `fake_a`, `real_b`, `fake_b`.

    Args:
      adversarial: the adversarial loss.
      pool_size: generated images of each domain to remember; 0 to judge the newest alone.
      terms: those that the losses have; without both of "identity_a" and "identity_b" the passes
        for them, a third of the generators', are not made.
    """
    has_identity = not {"identity_a", "identity_b"}.isdisjoint(terms)

    def translated(net: NetState, images: jax.Array, own: jax.Array, key: jax.Array):
        """Images in the other domain, those of it as the network leaves them, and the network."""
        if has_identity:
            return together(net, images, own, key=key)
        fake, net = net(images, key=key)
        return fake, own, net

    def generators(nets: Nets, batch: Batch, extras: Extras) -> Outcome:
        a, b, key = batch["a"], batch["b"], extras["dropout"]
        fake_b, same_b, ab = translated(nets["generator_ab"], a, b, key[0])
        fake_a, same_a, ba = translated(nets["generator_ba"], b, a, key[1])
        cycled_a, ba = ba(fake_b, key=key[2])
        cycled_b, ab = ab(fake_a, key=key[3])
        logits_a, _ = nets["discriminator_a"](fake_a)
        logits_b, _ = nets["discriminator_b"](fake_b)
        found = {
            "adversarial_ab": adversarial.generator(logits_b).mean(),
            "adversarial_ba": adversarial.generator(logits_a).mean(),
            "cycle_a": l1(cycled_a, a),
            "cycle_b": l1(cycled_b, b),
            "identity_a": l1(same_a, a),
            "identity_b": l1(same_b, b),
        }
        return Outcome(
            terms={name: found[name] for name in of_generators},
            nets={"generator_ab": ab, "generator_ba": ba},
            made={"fake_a": fake_a, "fake_b": fake_b},
        )

    def discriminators(nets: Nets, batch: Batch, extras: Extras) -> Outcome:
        terms, judges, metrics = {}, {}, {}
        for domain, name in zip("ab", DISCRIMINATORS, strict=True):
            images, fakes = batch[domain], extras[f"fake_{domain}"]
            of_real, of_fake, judges[name] = together(nets[name], images, fakes)
            real = verdict(of_real, adversarial=adversarial, real=True)
            fake = verdict(of_fake, adversarial=adversarial, real=False)
            terms |= {f"real_{domain}": real["loss"], f"fake_{domain}": fake["loss"]}
            metrics[f"accuracy_{domain}"] = 0.5 * (real["accuracy"] + fake["accuracy"])
        return Outcome(terms, judges, metrics)

    of_generators = tuple(term for term in G_TERMS if term in terms)
    players = (
        Player("generators", GENERATORS, of_generators, generators),
        Player("discriminators", DISCRIMINATORS, D_TERMS, discriminators, recall),
    )
    return Game(
        rounds=(players,),
        draw=draw,
        inputs=inputs,
        summary=functools.partial(summary, adversarial=adversarial),
        makes=WAYS,
        memory=functools.partial(create_pools, pool_size),
    )


def together(
    net: NetState, first: jax.Array, second: jax.Array, key: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, NetState]:
    """One pass of a network over two batches of one size, whose images take turns.

    So each device of a mesh keeps the images that it has, which it would not if one batch
    came after the other.

    Args:
      net: of layers that look at one image at a time.
      first: float `[B, H, W, C]`.
      second: of the same shape.
      key: for dropout, in networks that have it.

    Returns:
      What the network makes of either batch, `[B, ...]` each, and the network with its
      statistics moved on.
    """
    images = jnp.stack([first, second], axis=1)
    y, net = net(images.reshape(-1, *first.shape[1:]), key=key)
    y = y.reshape(len(first), 2, *y.shape[1:])
    return y[:, 0], y[:, 1], net


def create_pools(size: int, batch: Batch) -> Memory:
    """A pool of `size` for the fakes of each domain; none if that is 0."""
    if size == 0:
        return {}
    return {fakes: memory.create(size, batch[domain].shape[1:]) for fakes, domain in FAKES.items()}


def recall(pools: Memory, extras: Extras) -> tuple[Memory, Extras]:
    """Exchanges the fakes with the pools, where there are any."""
    keys = dict(zip(FAKES, extras["pool"], strict=True))
    kept, fakes = {}, {}
    for name, pool in pools.items():
        kept[name], fakes[name] = memory.query(pool, extras[name], keys[name])
    return kept, {**extras, **fakes}


def draw(key: jax.Array, batch: Batch) -> Extras:
    """A key for each forward pass of a generator, and for each pool; the same on every device."""
    del batch
    dropout_key, pool_key = jax.random.split(key)
    return {"dropout": jax.random.split(dropout_key, 4), "pool": jax.random.split(pool_key)}


def inputs(batch: Batch, extras: Extras) -> Mapping[str, tuple[jax.Array, ...]]:
    """Every network takes images."""
    del extras
    nets = zip(GENERATORS + DISCRIMINATORS, "abab", strict=True)
    return {name: (batch[domain],) for name, domain in nets}


def summary(metrics: Metrics, adversarial: Adversarial) -> Metrics:
    """Losses, their reconstruction parts unweighted, and how often the discriminators are right."""
    g, d = "generators", "discriminators"
    parts = {part: [f"{g}/{part}_{domain}" for domain in "ab"] for part in ("cycle", "identity")}
    return {
        "g_loss": metrics[f"{g}/loss"],
        "d_loss": metrics[f"{d}/loss"],
        **{
            part: sum(metrics[name] for name in names) / 2
            for part, names in parts.items()
            if all(name in metrics for name in names)
        },
        **told(adversarial, a=metrics[f"{d}/accuracy_a"], b=metrics[f"{d}/accuracy_b"]),
    }
