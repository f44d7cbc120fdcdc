"""A scanner of barcodes, which reads the drawings of the preview."""

import re

import zxingcpp

from chalicelib.preview.barcodes import BarcodePicture

SCALE = 4


def drawn(barcode: BarcodePicture) -> zxingcpp.Barcode | None:
    """Return the barcode that a scanner reads from the drawing, painted into pixels."""
    width, height = round(barcode.width * SCALE), round(barcode.height * SCALE)
    pixels = bytearray(b"\xff" * (width * height))
    for x, y, across, down in re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)v([\d.]+)h-[\d.]+z", barcode.path):
        left, top = round(float(x) * SCALE), round(float(y) * SCALE)
        right, bottom = left + round(float(across) * SCALE), top + round(float(down) * SCALE)
        for row in range(top, bottom):
            pixels[row * width + left : row * width + right] = bytes(right - left)
    return zxingcpp.read_barcode(memoryview(pixels).cast("B", (height, width)))
