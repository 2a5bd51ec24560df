"""Split expressions such as `train[:80%]+test`, resolved to slices."""

from __future__ import annotations

from collections.abc import Mapping

from gans.errors import UserError


def resolve(split: str, sizes: Mapping[str, int]) -> list[tuple[str, slice]]:
    """Resolves a split expression in the notation of TensorFlow Datasets.

    A term is a split's name, alone or with a range in examples or per cent
    (`train`, `train[100:200]`, `train[:80%]`, `test[-50:]`); `+` joins terms
    and `all` joins every split. Percentages round to the nearest example.
    https://www.tensorflow.org/datasets/splits

    Args:
      split: the expression.
      sizes: the number of examples of each split.

    Returns:
      For each term the split's name and a slice with 0 <= start < stop <= size.

    Raises:
      UserError: if a name is unknown, the expression is malformed, a range goes
        beyond its split, or nothing is left.
    """
    if split in sizes:  # Whatever its characters, a plain name needs no parsing.
        parts = [(split, slice(0, sizes[split]))]
    else:
        parts = _parse(split, sizes)
    parts = [(name, part) for name, part in parts if part.start < part.stop]
    if not parts:
        raise UserError(f"The split '{split}' holds no examples: {_describe(sizes)}.")
    return parts


def _parse(split: str, sizes: Mapping[str, int]) -> list[tuple[str, slice]]:
    from tensorflow_datasets import core

    infos = {
        name: core.SplitInfo(name=name, shard_lengths=[size], num_bytes=0)
        for name, size in sizes.items()
    }
    try:
        instruction = core.ReadInstruction.from_spec(split)
    except (ValueError, NotImplementedError) as error:
        raise UserError(
            f"Malformed split '{split}': write it like train, train[:80%] or "
            f"train[100:200]+test; {_describe(sizes)}."
        ) from error
    try:
        terms = instruction.to_absolute(infos)
    except ValueError as error:
        raise UserError(
            f"The split '{split}' names an unknown split or goes beyond the end of one: "
            f"{_describe(sizes)}."
        ) from error
    # An open end comes back as None.
    return [
        (name, slice(term.from_ or 0, sizes[name] if term.to is None else term.to))
        for term in terms
        for name in [term.splitname]
    ]


def _describe(sizes: Mapping[str, int]) -> str:
    known = ", ".join(f"{name} ({size} examples)" for name, size in sizes.items())
    return f"the known splits are {known}"
