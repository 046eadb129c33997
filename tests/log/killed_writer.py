"""A fork server for crash tests: its children append to one log until they are killed.

For each line on stdin, ``<seed>``, it forks a child that appends to the log with choices drawn from the seed
and writes ``ready <its process>``, then ``<last position>`` for everything it was told is written. The parent,
who reads these lines, kills the child whenever it likes; the server then says ``dead`` and waits for the next seed.
"""

from __future__ import annotations

import logging
import os
import random
import sys
from pathlib import Path

from matrix.log.compact import compact_log
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from tests.log.histories import events


def work(log: Path, seed: int, acknowledge: int) -> None:
    draw = random.Random(seed)
    logging.disable()  # it will often find a torn tail
    writer = Writer.open(log, shard=1, segment_bytes_max=40_000)

    def append(count: int) -> None:
        writer.append(rows_from_events(events(writer.last_position + 1, count)))

    os.write(acknowledge, b"ready %d\n" % os.getpid())
    while True:
        choice = draw.random()
        if choice < 0.7:
            append(draw.randint(1, 60))
        elif choice < 0.8:
            with writer.transaction():
                for _ in range(draw.randint(1, 4)):
                    append(draw.randint(1, 20))
        elif choice < 0.95:
            writer.sync()
        else:
            compact_log(log)
        os.write(acknowledge, b"%d\n" % writer.last_position)


def serve(log: Path) -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            work(log, int(line), 1)
        os.waitpid(child, 0)
        os.write(1, b"dead\n")


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
