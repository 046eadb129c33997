"""A stream between the socket and the WebSocket library that looks at each frame's header before the library does.

trio-websocket 0.12.2 takes any number of empty fragments, any rate and any patience, and says nothing when it closes
because of what it could not read. What always holds here: a claimed length is judged before a byte of it is kept;
nothing that the client sends reaches the library before the upgrade is answered; once a frame was refused nothing of
the client's reaches the library any more; and who is refused is told why by a close frame, when that goes out at once.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from contextlib import suppress

import trio

from matrix.server.bounds import Bounds
from matrix.server.frames import write_in_time
from matrix.server.sockets import linger

PROTOCOL_ERROR, POLICY_VIOLATION, TOO_BIG = 1002, 1008, 1009

_FIN, _RESERVED, _OPCODE, _MASKED, _LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F
_CONTINUATION, _CLOSE, _CONTROL = 0x0, 0x8, 0x8
_OPCODES = frozenset((0x0, 0x1, 0x2, 0x8, 0x9, 0xA))
_CONTROL_BYTES_MAX = 125
_MASK_BYTES = 4
_LENGTH_BYTES = {126: 2, 127: 8}
_REASON_BYTES_MAX = 123
_SAY_S = 0.5  # for a close frame to go out


class Refused(Exception):
    """What a client sends is not taken; ``code`` is that of the close frame, ``rule`` the one that was broken."""

    def __init__(self, code: int, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.rule, self.reason = code, rule, reason


class Inspector:
    """Reads frame headers out of bytes that come in pieces; keeps none of the payload."""

    def __init__(self, bounds: Bounds, clock: Callable[[], float]) -> None:
        self._bounds, self._clock = bounds, clock
        self._header = bytearray()  # of the frame that begins
        self._left = 0  # bytes of this frame's payload that are still to come
        self._is_last = False  # this frame is the last of its message
        self._is_control = False
        self._is_message_open = False
        self._message_bytes = self._fragments = 0
        self._allowance, self._filled_at = self._allowance_max, clock()
        self.boundaries = 0  # how often a message, or a control frame outside of one, was complete

    @property
    def is_midway(self) -> bool:
        """Whether something has begun that is not complete."""
        return bool(self._header) or self._left > 0 or self._is_message_open

    def feed(self, data: bytes) -> None:
        """Look at the next bytes; raises ``Refused``."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                if not self._left:
                    self._end_frame()
                continue
            self._header.append(data[at])
            at += 1
            if len(self._header) >= 2 and len(self._header) == self._header_bytes():
                self._begin_frame()

    def _header_bytes(self) -> int:
        """How long this frame's header is; its first two bytes are there."""
        if len(self._header) == 2:
            self._check_start(self._header[0], self._header[1])
        return 2 + _LENGTH_BYTES.get(self._header[1] & _LENGTH, 0) + _MASK_BYTES

    def _check_start(self, first: int, second: int) -> None:
        opcode, is_control = first & _OPCODE, bool(first & _CONTROL)
        if first & _RESERVED:
            raise Refused(PROTOCOL_ERROR, "reserved", "reserved bits are set; there is no extension")
        if opcode not in _OPCODES:
            raise Refused(PROTOCOL_ERROR, "opcode", f"there is no opcode {opcode}")
        if not second & _MASKED:
            raise Refused(PROTOCOL_ERROR, "unmasked", "frames of a client are masked")
        if is_control and (second & _LENGTH > _CONTROL_BYTES_MAX or not first & _FIN):
            raise Refused(PROTOCOL_ERROR, "control", "a control frame is one frame of at most 125 bytes")
        if not is_control and (opcode == _CONTINUATION) != self._is_message_open:
            what = "goes on with no message" if opcode == _CONTINUATION else "begins a message inside of another"
            raise Refused(PROTOCOL_ERROR, "continuation", f"a frame {what}")
        is_fragment = not is_control and self._is_message_open
        self._take_allowance(1 / self._bounds.fragments_per_message if is_fragment else 1)

    def _begin_frame(self) -> None:
        first, short = self._header[0], self._header[1] & _LENGTH
        self._is_control, self._is_last = bool(first & _CONTROL), bool(first & _FIN)
        length_bytes = _LENGTH_BYTES.get(short, 0)
        self._left = int.from_bytes(self._header[2 : 2 + length_bytes], "big") if length_bytes else short
        self._header.clear()
        if not self._is_control:
            self._is_message_open = True
            self._fragments += 1
            self._message_bytes += self._left
            if self._message_bytes > self._bounds.message_bytes_max:
                text = f"a message has at most {self._bounds.message_bytes_max:,} bytes"
                raise Refused(TOO_BIG, "message-bytes", text)
            if self._fragments > self._bounds.fragments_max:
                text = f"a message has at most {self._bounds.fragments_max:,} fragments"
                raise Refused(POLICY_VIOLATION, "fragments", text)
        if not self._left:
            self._end_frame()

    def _end_frame(self) -> None:
        if not self._is_control and self._is_last:
            self._is_message_open = False
            self._message_bytes = self._fragments = 0
        if not self._is_message_open:
            self.boundaries += 1

    @property
    def _allowance_max(self) -> float:
        return self._bounds.messages_per_s * self._bounds.rate_s

    def _take_allowance(self, cost: float) -> None:
        now = self._clock()
        refilled = self._allowance + (now - self._filled_at) * self._bounds.messages_per_s
        self._allowance, self._filled_at = min(self._allowance_max, refilled) - cost, now
        if self._allowance < 0:
            text = f"more than {self._bounds.messages_per_s:g} messages a second over {self._bounds.rate_s:g} seconds"
            raise Refused(POLICY_VIOLATION, "rate", text)


class Gate(trio.abc.Stream):
    """The socket as the WebSocket library sees it.

    ``head`` is the request as it is to see it, ``early`` what the client has sent behind its own.
    """

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        head: bytes,
        early: bytes,
        bounds: Bounds,
        refused: Callable[[str], None],
    ) -> None:
        """``refused`` is told which rule a client has broken."""
        self._stream, self._head, self._early = stream, head, early
        self._bounds, self._tell = bounds, refused
        self._inspector = Inspector(bounds, trio.current_time)
        self._opened = trio.Event()
        self._sending = trio.Lock()
        self._waited = 0.0  # seconds that the message which is under way has kept us waiting
        self._is_refused = False
        self._is_over = False  # a close frame has gone out, or nothing can: there is no more to say
        #: What the library thinks of the connection, asked when it closes: the code of a close frame, or None.
        self.closing_code: Callable[[], int | None] = lambda: None

    def open(self) -> None:
        """The upgrade has been answered: from here on frames come in."""
        self._opened.set()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        await self._opened.wait()
        if self._is_refused:
            raise trio.BrokenResourceError("what came was refused")
        try:
            if self._early:
                data, self._early = self._early, b""
            else:
                data = await self._receive_in_time(max_bytes)
            boundaries = self._inspector.boundaries
            self._inspector.feed(data)
            if self._inspector.boundaries != boundaries:
                self._waited = 0.0
        except Refused as refusal:
            await self.refuse(refusal)
            raise trio.BrokenResourceError("what came was refused") from None
        if not data:
            self._is_over = True
        return data

    async def _receive_in_time(self, max_bytes: int | None) -> bytes:
        begun, is_midway = trio.current_time(), self._inspector.is_midway
        # Only the time that we wait counts: a client cannot help it when its bytes lie here.
        limit = begun + self._bounds.message_s - self._waited if is_midway else math.inf
        with trio.move_on_at(limit):
            data = await self._stream.receive_some(max_bytes)
            if is_midway:
                self._waited += trio.current_time() - begun
            return bytes(data)
        text = f"a message is complete within {self._bounds.message_s:g} seconds"
        raise Refused(POLICY_VIOLATION, "message-time", text)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        async with self._sending:
            if self._is_refused:
                raise trio.BrokenResourceError("the client was refused")
            was_over, self._is_over = self._is_over, True  # if this is cut short nothing can follow it
            await self._stream.send_all(data)
            self._is_over = was_over or data[:1] == bytes([_FIN | _CLOSE])

    async def write(self, data: bytes, chunk_s: float) -> None:
        """Send whole frames that somebody else than the library has made, never behind a close frame.

        Raises ``trio.TooSlowError`` when the client has taken nothing of them for ``chunk_s`` seconds.
        """
        async with self._sending:
            if self._is_refused or self._is_over:
                raise trio.BrokenResourceError("nothing more can be said")
            self._is_over = True  # if this is cut short nothing can follow it
            await write_in_time(self._stream, data, chunk_s)
            self._is_over = False

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def refuse(self, refusal: Refused) -> None:
        """Take nothing more from this client, and tell it why."""
        if not self._is_refused:
            self._is_refused = True
            self._tell(refusal.rule)
            await self._say_close(refusal.code, refusal.reason)

    async def aclose(self) -> None:
        try:
            code = self.closing_code()
            if code is not None and self._opened.is_set():
                await self._say_close(code, "")
        finally:
            await trio.aclose_forcefully(self._stream)

    async def _say_close(self, code: int, reason: str) -> None:
        """A close frame, if none has gone out and it goes out at once; then the end of what we say, and a pause."""
        # Shielded: the session ends when it hears of the same trouble, and what it cancels is the task that is here.
        with trio.CancelScope(shield=True):
            with trio.move_on_after(_SAY_S), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                async with self._sending:
                    if self._is_over:
                        return
                    self._is_over = True
                    payload = struct.pack("!H", code) + reason.encode()[:_REASON_BYTES_MAX]
                    await self._stream.send_all(bytes([_FIN | _CLOSE, len(payload)]) + payload)
            await linger(self._stream, self._bounds.linger_s)
