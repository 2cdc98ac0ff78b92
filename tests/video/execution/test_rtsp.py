"""A real RTSP session with a local process: DESCRIBE, SETUP, PLAY, and H.264 in RTP packets within the connection."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.video import asking
from tests.video.asking import CARS
from workbench.video import api
from workbench.video.source_live import live

pytestmark = pytest.mark.usefixtures("cluster")

#: an RTSP server (RFC 2326) that sends the pictures of a file, interleaved (RFC 6184, packetization mode 1)
SERVER = r'''
import re, socket, struct, sys
import av

with av.open(sys.argv[1]) as container:
    packets = [(packet.pts, bytes(packet)) for packet in container.demux(container.streams.video[0]) if packet.size]
SDP = "\r\n".join((
    "v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=a camera", "c=IN IP4 127.0.0.1", "t=0 0", "m=video 0 RTP/AVP 96",
    "a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1", "a=control:track0", ""))
HEADS = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n",
    "PLAY": "Session: 7\r\nRange: npt=0-\r\n",
}


def payloads(data):
    """The NAL units of a picture, in parts that fit into a packet."""
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


server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
connection, _ = server.accept()
text = ""
while "PLAY" not in text.partition(" ")[0]:
    text = ""
    while not text.endswith("\r\n\r\n"):
        text += connection.recv(1).decode()
    method, number = text.partition(" ")[0], re.search(r"(?i)cseq: *(\d+)", text)[1]
    answer = f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{HEADS.get(method, '')}\r\n"
    connection.sendall((answer + (SDP if method == "DESCRIBE" else "")).encode())
sequence = 0
for pts, data in packets:
    for payload, marker in payloads(data):
        head = struct.pack(">BBHII", 0x80, marker << 7 | 96, sequence & 0xFFFF, pts & 0xFFFFFFFF, 7)
        connection.sendall(struct.pack(">cBH", b"$", 0, len(head) + len(payload)) + head + payload)
        sequence += 1
sys.stdin.read()
'''


@pytest.fixture
def address(stream: Path) -> Iterator[str]:
    """Return where a process serves the stream, once."""
    command = [sys.executable, "-c", SERVER, str(stream)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield f"rtsp://127.0.0.1:{int(process.stdout.readline())}/door"
    process.kill()
    process.communicate()


def test_an_rtsp_camera_gives_the_finished_files_events(stream: Path, address: str, bright: Path) -> None:
    # FFmpeg gives the first picture of a session no timestamp: it is left out, and time begins with the second.
    expected = api.vquery(stream, CARS, detector="bright", end="18.1s")
    answer = asking.quietly(live(address, late="keep"), CARS, detector="bright", end="18s")
    assert answer.status == "done"
    assert len(answer) == len(expected) == 2
    assert answer.events["video"].unique().tolist() == [address]
    for name in ("events", "objects", "frames"):
        table = answer.table(name).drop(columns="video", errors="ignore")
        for column in ("frame", "frame_start", "frame_end", "best_frame"):
            if column in table:
                table[column] += 1
        for column in ("time", "start", "end", "first", "last"):
            if column in table:
                table[column] += 0.1
        pd.testing.assert_frame_equal(table, expected.table(name).drop(columns="video", errors="ignore"))
