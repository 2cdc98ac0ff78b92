"""An RTSP camera: `python rtsp_server.py FILE SESSIONS` sends the H.264 pictures of a file, prints its port first.

RTSP is RFC 2326, the pictures travel in RTP packets within its connection (RFC 6184, packetization mode 1). SESSIONS is
a JSON list of what happens to one who connects after another:

first, stop : int
    The pictures that are sent.
npt : float
    The second of the camera's own clock that the first of them has, as PLAY answers; 0 where it counts anew.
answer : int
    The status of each answer, 200 if left out.
then : "close", "reset", "stall" or "half"
    How it ends: in order, abruptly, in silence with the connection open, or in the middle of a picture.
away : float
    Seconds for which nobody is there afterwards: connections are refused.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

SDP = "\r\n".join((
    "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=a camera", "c=IN IP4 127.0.0.1", "t=0 0", "m=video 0 RTP/AVP 96",
    "a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1", "a=control:track0", "",
))  # fmt: skip
#: RTP counts from anywhere
BASE = 4_294_000_000


def payloads(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the NAL units of a picture, in parts that fit into a packet, and whether each is the last."""
    units = [unit for unit in re.split(rb"\x00{2,3}\x01", data) if unit and unit[0] & 31 != 9]
    for number, unit in enumerate(units):
        last = number + 1 == len(units)
        if len(unit) <= 1400:
            yield unit, last
            continue
        rest = unit[1:]
        for start in range(0, len(rest), 1398):
            ends = start + 1398 >= len(rest)
            mark = (start == 0) << 7 | ends << 6 | unit[0] & 31
            yield bytes((unit[0] & 0xE0 | 28, mark)) + rest[start : start + 1398], last and ends


def shaken(connection: socket.socket, session: dict[str, Any]) -> bool:
    """Answer up to PLAY; return whether pictures are wanted."""
    status = session.get("answer", 200)
    heads = {
        "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
        "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n",
        "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n",
        "PLAY": f"Session: 7\r\nRange: npt={session.get('npt', 0.0)}-\r\n",
    }
    method = ""
    while method != "PLAY":
        text = ""
        while not text.endswith("\r\n\r\n"):
            if not (byte := connection.recv(1)):
                return False
            text += byte.decode()
        method, number = text.partition(" ")[0], re.findall(r"(?i)cseq: *(\d+)", text)[0]
        head, body = (heads.get(method, ""), SDP if method == "DESCRIBE" else "") if status == 200 else ("", "")
        connection.sendall(f"RTSP/1.0 {status} Told\r\nCSeq: {number}\r\n{head}\r\n{body}".encode())
    return True


def serve(packets: list[tuple[int, bytes]], sessions: list[dict[str, Any]]) -> None:
    """Go through the sessions; then wait to be ended."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    print(port, flush=True)
    kept = []
    for session in sessions:
        connection, _ = server.accept()
        if shaken(connection, session):
            send(connection, packets[session["first"] : session["stop"]], session.get("then") == "half")
        if session.get("then", "close") == "stall":
            kept.append(connection)
        else:
            if session.get("then") == "reset":
                time.sleep(1.0)  # what has not been read by then is lost with the connection
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        if session.get("away"):
            server.close()
            time.sleep(session["away"])
            server = socket.create_server(("127.0.0.1", port))
    sys.stdin.read()


def send(connection: socket.socket, packets: list[tuple[int, bytes]], half: bool) -> None:
    """Send pictures; of the last one only the first half, if so wanted."""
    sequence = 0
    for number, (pts, data) in enumerate(packets):
        for part, (payload, marker) in enumerate(payloads(data)):
            if half and number + 1 == len(packets) and part:
                return
            head = struct.pack(">BBHII", 0x80, marker << 7 | 96, sequence & 0xFFFF, (BASE + pts) & 0xFFFFFFFF, 7)
            connection.sendall(struct.pack(">cBH", b"$", 0, len(head) + len(payload)) + head + payload)
            sequence += 1


def read(path: str) -> list[tuple[int, bytes]]:
    """Return the (timestamp, data) of a file's pictures."""
    import av

    with av.open(path) as container:
        return [
            (int(packet.pts), bytes(packet))
            for packet in container.demux(container.streams.video[0])
            if packet.size and packet.pts is not None
        ]


if __name__ == "__main__":
    serve(read(sys.argv[1]), json.loads(sys.argv[2]))
