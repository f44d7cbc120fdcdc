"""Tests of drawing simple images."""

import io

import png
import pytest

from infra.operate.templates.drawing import Bar, Disc, draw
from infra.operate.templates.images import png_size


def pixels(image: bytes) -> list[list[tuple[int, ...]]]:
    _, _, rows, _ = png.Reader(file=io.BytesIO(image)).asRGBA8()
    return [[tuple(row[i : i + 4]) for i in range(0, len(row), 4)] for row in map(list, rows)]


def test_gradient_goes_from_top_to_bottom() -> None:
    drawn = pixels(draw(2, 3, scale=1, gradient=((0, 0, 0), (200, 100, 50))))
    assert [row[0] for row in drawn] == [(0, 0, 0, 255), (100, 50, 25, 255), (200, 100, 50, 255)]


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_size_is_in_points(scale: int) -> None:
    assert png_size(draw(10, 4, scale=scale, gradient=None)) == (10 * scale, 4 * scale)


def test_shapes_are_drawn_over_a_transparent_background() -> None:
    drawn = pixels(draw(4, 2, scale=1, gradient=None, shapes=[Bar(1, 0, 1.5, 1, (255, 0, 0))]))
    assert drawn[0][0] == (0, 0, 0, 0)
    assert drawn[0][1] == (255, 0, 0, 255)
    assert drawn[0][2][3] == 128  # half of the pixel
    assert drawn[1][1] == (0, 0, 0, 0)


def test_ring_has_a_hole_and_opacity_blends() -> None:
    ring = Disc(10, 10, 9, (255, 255, 255), 0.5, 5)
    drawn = pixels(draw(20, 20, scale=1, gradient=((0, 0, 0), (0, 0, 0)), shapes=[ring]))
    assert drawn[10][10] == (0, 0, 0, 255)
    assert drawn[10][3] == (128, 128, 128, 255)
    assert drawn[0][0] == (0, 0, 0, 255)


def test_shapes_outside_of_the_image_are_cut() -> None:
    shapes: list[Disc | Bar] = [
        Disc(-50, 1, 10, (255, 255, 255)),
        Bar(50, 0, 9, 9, (255, 255, 255)),
        Disc(0, 0, 100, (9, 9, 9)),
    ]
    assert pixels(draw(2, 2, scale=1, gradient=None, shapes=shapes)) == [[(9, 9, 9, 255)] * 2] * 2
