"""TensorBoard's event file, written by the caller's own thread.

tensorboardX's `SummaryWriter` hands events to a thread through a queue of ten. When that thread
dies, because the file cannot grow, the queue fills up, and whoever writes waits for ever. So only
its messages and checksums are taken from it. The format: for each event its length, the checksum of
that, the event, and its checksum (`tensorflow/core/lib/io/record_writer.h`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from gans.files.writing import write_whole


class Events:
    """The events of one start of a run; the file is made when there is a first one.

    Args:
      folder: the run folder.
      step: where the run starts from; TensorBoard drops what earlier files have beyond it.
    """

    def __init__(self, folder: Path, step: int):
        self._folder, self._step = folder, step
        self._file: BinaryIO | None = None

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers by name.

        Raises:
          OSError: they cannot be written. Nothing of them was.
        """
        from tensorboardX import summary

        found = [summary.scalar(name, value).value[0] for name, value in values.items()]
        if found:
            self._write(step, found)

    def picture(self, step: int, name: str, size: tuple[int, int], png: bytes) -> None:
        """Writes an RGB picture.

        Args:
          step: iterations done.
          name: TensorBoard's, of all such pictures.
          size: width and height.
          png: the picture, encoded.

        Raises:
          OSError: it cannot be written. Nothing of it was.
        """
        from tensorboardX.proto.summary_pb2 import Summary

        image = Summary.Image(width=size[0], height=size[1], colorspace=3, encoded_image_string=png)
        self._write(step, [Summary.Value(tag=name, image=image)])

    def close(self) -> None:
        """Lets go of the file. There is nothing left to be written."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _write(self, step: int, values: list) -> None:
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary

        event = Event(step=step, wall_time=time.time(), summary=Summary(value=values))
        if self._file is None:
            start = {"step": self._step + 1, "wall_time": time.time()}
            self._open(
                Event(file_version="brain.Event:2", **start),
                Event(session_log=SessionLog(status=SessionLog.START), **start),
            )
        write_whole(self._file, _record(event))
        self._step = step  # where a further file, if this one fails, has to go on

    def _open(self, *events) -> None:
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        file = (self._folder / name).open("ab", buffering=0)
        try:
            write_whole(file, b"".join(map(_record, events)))
        except OSError:
            with contextlib.suppress(OSError):
                file.close()
            raise
        self._file = file


def _record(event) -> bytes:
    from tensorboardX.record_writer import masked_crc32c

    content = event.SerializeToString()
    length = struct.pack("<Q", len(content))
    return b"".join(
        (
            length,
            struct.pack("<I", masked_crc32c(length)),
            content,
            struct.pack("<I", masked_crc32c(content)),
        )
    )
