"""Checkpoints of a run: saved in the background, proven whole before they are read.

Orbax writes the arrays; this module adds what orbax leaves open.

*Damage.* Orbax and TensorStore notice a missing or truncated file and a flipped bit in their
indices, but store array data without a checksum: a flipped bit there comes back as a wrong number
and no error. So each step folder carries `checksums.json`, the CRC-32 and the size of every file in
it. The first process writes it when all processes have written their shards and before the rename
that commits the step, so a committed step always has one, whatever topology saved it, and the
device waits for none of it. It costs one reading of the files just written, and one more when
restoring (about 1 GB/s each).

*Kills.* A step is written under a temporary name and renamed when complete, and older steps are
deleted after that. A save that was killed leaves a temporary folder, which no reader looks at and
the next writer removes.

*Mismatch.* Orbax casts a wrong dtype silently and reports a wrong tree opaquely, so the saved
shapes and dtypes are compared with the wanted ones first, and a difference is never taken for
damage.

*Going back.* Step numbers only grow along a run. Saving after an earlier step was restored (or
saving a lower step than the newest) starts a new future, and the checkpoints of the old one would
be mistaken for it: they are moved to `superseded_checkpoints`, beside the folder. Nothing but the
oldest of more than `keep` checkpoints is ever deleted.
"""

import contextlib
import json
import logging
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from orbax.checkpoint import v1 as ocp

from gans.errors import UserError
from gans.files import reading

_STATE = "state"
_POSITION = "position.json"
_CHECKSUMS = "checksums.json"
# Orbax rewrites these two while committing, after the checksums were taken. Neither is needed to
# read a step back.
_REWRITTEN = {"_CHECKPOINT_METADATA", "commit_success.txt"}
_TEMPORARY = ".orbax-checkpoint-tmp"
_SHOWN_DIFFERENCES = 8
_STEP = re.compile(r"0|[1-9][0-9]{0,17}")  # a folder's name
_MOST = 2**26  # bytes of the JSON beside the arrays

# Orbax logs through absl's logger, which belongs to the whole program. Its failures reach the
# caller as exceptions, so its own lines are dropped and nobody else's.
logging.getLogger("absl").addFilter(lambda record: "orbax" not in Path(record.pathname).parts)


def _without(message: str, show: Callable[[Any], None]) -> Callable[[Any], None]:
    """Shows what `sys.unraisablehook` is given, but for RuntimeErrors that say `message`."""
    return lambda found: None if _says(found.exc_value, message) else show(found)


def _says(error: BaseException | None, message: str) -> bool:
    return isinstance(error, RuntimeError) and str(error) == message


# When one of orbax's writes fails, it closes the event loop that TensorStore reports the others to,
# and TensorStore has a traceback printed for each of them. What failed reaches the caller.
sys.unraisablehook = _without("Event loop is closed", sys.unraisablehook)


class Restored(NamedTuple):
    """What a checkpoint held: the step it was saved at, the state, the data position."""

    step: int
    state: Any
    position: dict


class Checkpoints:
    """The newest `keep` checkpoints of one run, in `directory`; use it in a `with` statement.

    With several processes, every process makes the same calls in the same order, and `directory`
    is on storage they share.

    Args:
      directory: holds one folder per step, named by its number; made if absent.
      keep: how many checkpoints stay.
      read_only: never write, move or delete anything, so that a folder another process trains
        into can be read.

    Raises:
      UserError: `directory` cannot be made or written to.
    """

    def __init__(self, directory: str | os.PathLike, *, keep: int = 3, read_only: bool = False):
        self.directory = Path(directory).absolute()
        self._keep = keep
        self._read_only = read_only
        self._at: int | None = None  # the step last restored or saved: where this run stands
        self._saving: ocp.AsyncResponse | None = None
        self._position = ""  # of the save in flight
        self._writer = None if read_only else self._open_writer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_) -> None:
        # What ended the program must not be hidden by a save that failed as well.
        with contextlib.suppress(UserError) if kind else contextlib.nullcontext():
            self.close()

    def steps(self) -> list[int]:
        """The steps with a checkpoint on disk, oldest first, damaged ones included."""
        if not self.directory.is_dir():
            return []
        names = (path.name for path in self.directory.iterdir() if path.is_dir())
        return sorted(int(name) for name in names if _STEP.fullmatch(name))

    def latest_step(self) -> int | None:
        """The newest of `steps()`, or None."""
        return max(self.steps(), default=None)

    def save(self, step: int, state: Any, position: dict) -> None:
        """Starts saving; returns once the state may be donated, deleted or overwritten.

        Waits for an earlier save that is still being written. Saving again the step that this
        object has just saved or restored does nothing; see the module on going back.

        Args:
          step: the number of the checkpoint.
          state: a pytree of arrays, typed PRNG keys among them; a number in it becomes an array.
          position: where the data stream stands, as JSON values.

        Raises:
          UserError: this save could not start, or the one before it failed in the background.
          TypeError: `position` is not JSON.
        """
        if self._writer is None:
            raise ValueError("checkpoints opened with read_only=True cannot be saved")
        self.wait()
        if step == self._at and step in self.steps():
            return
        self._position = json.dumps(position)
        first_superseded = step if self._at is None else min(step, self._at + 1)
        with self._write_errors(step):
            _on_first_process(lambda: self._supersede(first_superseded))
            self._writer.reload()
            self._at = step
            self._saving = self._writer.save_checkpointables_async(
                step, {_STATE: _by_path(jax.tree.map(_as_array, state))}, force=True
            )

    def restore(self, target: Any, *, step: int | None = None) -> Restored | None:
        """Reads the newest whole checkpoint, or that of `step`; None when there is none.

        A damaged checkpoint is passed over with a sentence on stderr and, unless reading only,
        moved to `damaged_checkpoints` beside the folder once an older one proved whole.

        Args:
          target: a pytree like the saved state, of arrays or ShapeDtypeStructs, whose shardings
            say where the arrays go; leaves without one go to the default device.
          step: read this checkpoint and no other.

        Raises:
          UserError: the checkpoint has other leaves, shapes or dtypes than `target`; every
            checkpoint is damaged; `step` is damaged or not there.
        """
        self.wait()
        target = jax.tree.map(_as_struct, target)
        while True:
            chosen = _on_first_process(lambda: self._choose(step))
            if chosen is None:
                return None
            try:
                restored = _load(self._folder(chosen), target)
            except UserError:
                raise
            except Exception:
                # Files that are whole are not to blame (memory may be short, a sharding may not
                # fit). Files that were whole a moment ago were deleted by the run that writes here.
                if _damage(self._folder(chosen)) is None:
                    raise
                continue
            self._at = chosen
            return Restored(chosen, *restored)

    def position(self) -> dict | None:
        """The position that the newest checkpoint holds; None if it is not as it was written."""
        folder = self._folder(self.latest_step())
        try:
            if not _is_as_written(folder / _POSITION, _read_json(folder / _CHECKSUMS)[_POSITION]):
                return None
            return _read_json(folder / _POSITION)
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def wait(self) -> None:
        """Blocks until the save in flight is on disk.

        Raises:
          UserError: it failed, for instance because the disk is full.
        """
        if self._writer is None:
            return
        saving, self._saving = self._saving, None
        with self._write_errors(self._at, Exception):
            try:
                if saving is not None:
                    saving.result()  # ends the thread that orbax starts for each save
            finally:
                self._writer.wait()  # raises a failure here too, or the next save would

    def close(self) -> None:
        """Waits like `wait`, and releases orbax's threads.

        Raises:
          UserError: the save in flight failed.
        """
        if self._writer is None:
            return
        try:
            self.wait()
        except BaseException:
            with contextlib.suppress(Exception):  # which must not hide why
                self._writer.close()
            raise
        with self._write_errors(self._at, Exception):
            self._writer.close()

    def _folder(self, step: int) -> Path:
        return self.directory / str(step)

    def _open_writer(self) -> ocp.training.Checkpointer:
        with self._write_errors(None):
            self.directory.mkdir(parents=True, exist_ok=True)
            if not os.access(self.directory, os.W_OK | os.X_OK):
                raise PermissionError("permission denied")
            context = ocp.Context()
            # A lambda, because orbax deep-copies the context: a bound method would take its object
            # along and act on the copy.
            context.async_options.post_finalization_callback = lambda: self._seal()
            return ocp.training.Checkpointer(
                self.directory,
                context=context,
                preservation_policy=ocp.training.preservation_policies.LatestN(self._keep),
                cleanup_tmp_directories=True,
                # Reading every step's metadata here would fail on a damaged one.
                lightweight_initialize=True,
            )

    def _seal(self) -> None:
        """Completes a step that is about to be committed: its position, then its checksums.

        Orbax calls it in the thread of the save, on the first process, between the last byte of
        the arrays and the rename.
        """
        folder = self.directory / f"{self._at}{_TEMPORARY}"
        _write_durably(folder / _POSITION, self._position)
        files = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        checksums = {name: _checksum(files[name]) for name in files if name not in _REWRITTEN}
        _write_durably(folder / _CHECKSUMS, json.dumps(checksums, indent=1))

    def _choose(self, step: int | None) -> int | None:
        """The step to read: `step`, or the newest whole one, having dealt with those before it."""
        if step is not None:
            return self._require(step)
        damaged: dict[int, str] = {}
        # The folder is listed anew each time: a run that writes here deletes old steps and adds
        # new ones meanwhile.
        while untried := [step for step in self.steps() if step not in damaged]:
            cause = _damage(self._folder(untried[-1]))
            if cause is None:
                for newer, its_cause in damaged.items():
                    self._pass_over(newer, its_cause)
                return untried[-1]
            damaged[untried[-1]] = cause
        if still_there := [step for step in damaged if step in self.steps()]:
            listing = "".join(f"\n  {self._folder(step)}: {damaged[step]}" for step in still_there)
            raise UserError(
                f"Every checkpoint in {self.directory} is damaged:{listing}\n"
                "Move them away to start again from the beginning."
            )
        return None

    def _require(self, step: int) -> int:
        if step not in self.steps():
            there = ", ".join(map(str, self.steps())) or "none"
            raise UserError(
                f"{self.directory} has no checkpoint of step {step}; available: {there}."
            )
        if cause := _damage(self._folder(step)):
            raise UserError(f"The checkpoint {self._folder(step)} is damaged: {cause}.")
        return step

    def _pass_over(self, step: int, cause: str) -> None:
        folder = self._folder(step)
        if not self._read_only:
            moved = _move_aside(folder, "damaged_checkpoints")
            _warn(f"The checkpoint {folder} is damaged ({cause}); moved it to {moved}.")
        elif step > max(set(self.steps()) - {step}, default=step):
            _warn(f"The checkpoint {folder} is damaged ({cause}); reading an older one.")

    def _supersede(self, first: int) -> None:
        # Newest first, so that a kill in between leaves the beginning of the old future, not a gap.
        for step in reversed(self.steps()):
            if step >= first:
                moved = _move_aside(self._folder(step), "superseded_checkpoints")
                _warn(f"The run went back before step {step}; moved its checkpoint to {moved}.")

    @contextlib.contextmanager
    def _write_errors(self, step: int | None, errors: type[Exception] = OSError) -> Iterator[None]:
        what = "checkpoints" if step is None else f"the checkpoint of step {step}"
        try:
            yield
        except errors as error:
            # TensorStore appends pages of JSON to its message.
            cause = str(error).split(" [tensorstore_spec")[0].split("\n")[0] or repr(error)
            raise UserError(f"Could not write {what} to {self.directory}: {cause}.") from error


def _on_first_process(action: Callable[[], int | None]) -> int | None:
    """Runs `action` on process 0 alone; all processes wait for it and return its result.

    Raises:
      UserError: on every process, if `action` raised it.
    """
    if jax.process_count() == 1:
        return action()
    result, error = None, None
    if jax.process_index() == 0:
        try:
            result = action()
        except (UserError, OSError) as caught:
            error = caught
    answer = [error is not None, result is not None, result or 0]
    failed, found, value = multihost_utils.broadcast_one_to_all(np.asarray(answer, np.int32))
    if failed:
        raise error or UserError("The first process reported an error in the checkpoints.")
    return int(value) if found else None


def _load(folder: Path, target: Any) -> tuple[Any, dict]:
    saved = _leaves(ocp.metadata(folder, _STATE).metadata)
    _require_same(folder, saved, _leaves(jax.tree.map(_as_stored, target)))
    wanted = _by_path(target)
    loaded = ocp.load(folder, wanted, checkpointable_name=_STATE)
    state = jax.tree.unflatten(jax.tree.structure(target), [loaded[path] for path in wanted])
    # A key is stored as plain integers, so a key in place of integers, or of another
    # implementation, shows only now.
    _require_same(folder, _leaves(state), _leaves(target))
    # Orbax returns a key on one device with another spelling of its sharding, which would compile
    # the step a second time.
    state = jax.device_put(state, jax.tree.map(lambda leaf: leaf.sharding, target))
    return state, json.loads((folder / _POSITION).read_text())


def _by_path(tree: Any) -> dict[str, Any]:
    """Every leaf under its path, in the order of the tree.

    The form on disk: orbax would write down each node too, the empty ones among them, and refuse
    a state that has since been given a field which is None.
    """
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _leaves(tree: Any) -> dict[str, str]:
    """Every leaf's path with its dtype and shape as text, such as `float32[3,4]`."""
    return {
        path: f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
        for path, leaf in _by_path(tree).items()
    }


def _require_same(folder: Path, saved: dict[str, str], expected: dict[str, str]) -> None:
    differences = [
        f"{path}: saved {saved.get(path, 'nothing')}, expected {expected.get(path, 'nothing')}"
        for path in sorted(saved.keys() | expected.keys())
        if saved.get(path) != expected.get(path)
    ]
    if not differences:
        return
    lines = "".join(f"\n  {line}" for line in differences[:_SHOWN_DIFFERENCES])
    if len(differences) > _SHOWN_DIFFERENCES:
        lines += f"\n  and {len(differences) - _SHOWN_DIFFERENCES} more"
    raise UserError(
        f"The checkpoint {folder} does not fit the model:{lines}\n"
        "Check that the config is the one the run was started with."
    )


def _as_array(leaf: Any) -> jax.Array:
    # Numbers and numpy arrays are copied: the caller may change them while they are written.
    return leaf if isinstance(leaf, jax.Array) else jnp.array(leaf)


def _as_struct(leaf: Any) -> jax.ShapeDtypeStruct:
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        leaf = _as_array(leaf)
    # Without a sharding orbax takes the saved one, whose devices may not exist here.
    sharding = leaf.sharding or jnp.zeros(()).sharding
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _as_stored(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.eval_shape(jax.random.key_data, leaf)
    return leaf


def _damage(folder: Path) -> str | None:
    """What is wrong with the files of a step, or None if each is as it was written."""
    try:
        checksums = _read_json(folder / _CHECKSUMS)
        if _POSITION not in checksums:
            return f"{_CHECKSUMS} lacks what every checkpoint has"
        for name, checksum in checksums.items():
            if not _is_as_written(folder / name, checksum):
                return f"{name} has changed since it was written"
    except FileNotFoundError as error:
        return f"{Path(error.filename).relative_to(folder)} is missing"
    except PermissionError as error:
        raise UserError(f"No permission to read {error.filename}.") from error
    except OSError as error:
        return str(error)
    except (ValueError, AttributeError, TypeError):
        return f"{_CHECKSUMS} is not readable"
    return None


def _read_json(path: Path) -> Any:
    """Raises OSError or ValueError if it cannot be read."""
    with reading.opened(path, _MOST) as file:
        try:
            return json.loads(file.read())
        except RecursionError:
            raise ValueError("it is too deep") from None


def _is_as_written(path: Path, checksum: Any) -> bool:
    # A file that has grown out of all proportion is not read for that.
    return [path.stat().st_size] == checksum[:1] and _checksum(path) == checksum


def _checksum(path: Path) -> list[int]:
    """Size and CRC-32 of a file."""
    size, crc = 0, 0
    with reading.opened(path) as file:
        while block := file.read(1 << 20):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return [size, crc]


def _move_aside(folder: Path, place: str) -> Path:
    """Moves a step folder to `<directory>/../<place>`, under a name that is free there."""
    aside = folder.parent.parent / place
    aside.mkdir(exist_ok=True)
    target, count = aside / folder.name, 1
    while target.exists():
        target, count = aside / f"{folder.name}.{count}", count + 1
    return folder.rename(target)


def _write_durably(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _warn(sentence: str) -> None:
    print(sentence, file=sys.stderr)
