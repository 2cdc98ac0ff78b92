"""A clip whose frames carry their own number, so that a test can read which frame a browser shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

#: px of one bit's block; bit 0 is leftmost, white is 1
BLOCK, BITS, TOP = 32, 10, 140


def write_counted(path: Path, *, frames: int = 100, rate: int = 25) -> Path:
    """Write an H.264 clip of 320 x 180 with one keyframe in fifty."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 320, 180, "yuv420p"
        stream.options = {"g": "50"}
        for number in range(frames):
            image = np.zeros((180, 320, 3), np.uint8)
            image[:TOP, :, 1] = 60 + number % 128
            for bit in range(BITS):
                if number >> bit & 1:
                    image[TOP:, bit * BLOCK : (bit + 1) * BLOCK] = 255
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path


#: reads the number back from the first <video> of an element
READ_FRAME = """root => {
  const video = root.querySelector('video');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [320, 180];
  const pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0, 320, 180);
  let number = 0;
  for (let bit = 0; bit < 10; bit++) {
    if (pen.getImageData(bit * 32 + 16, 165, 1, 1).data[0] > 127) number += 1 << bit;
  }
  return number;
}"""
