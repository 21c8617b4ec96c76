"""The way from places on a head to places on the chart."""

import math

import pytest
import torch

from realface.errors import InputError
from realface.synthetic.unrolled import Axis, axis_of, fit_warp, unroll, unrolled_gradients

AXIS = Axis(2.0, -5.0)
SIDES = (("left", 1), ("right", -1))


def on_cylinder(arc, height, radius=100.0):
    angle = torch.as_tensor(arc) / 96
    return torch.stack(
        (AXIS.x + radius * angle.sin(), torch.as_tensor(height), AXIS.z + radius * angle.cos())
    )


def landmarks(x=1.0, y=1.0):
    """A face's places on a cylinder, and on a chart that is ``x`` wider and ``y`` taller."""
    places = {"nasion": (0.0, 30.0), "nose_tip": (0.0, 0.0), "stomion": (0.0, -35.0)}
    for side, sign in SIDES:
        places[f"inner_eye_{side}"] = (15.0 * sign, 28.0)
        places[f"mouth_corner_{side}"] = (23.0 * sign, -35.0)
    head = {n: on_cylinder(torch.tensor(a), torch.tensor(h)) for n, (a, h) in places.items()}
    return head, {n: torch.tensor((x * a, y * h)) for n, (a, h) in places.items()}


def test_unrolling_a_cylinder_gives_arc_and_height():
    arc, height = torch.tensor([-250.0, 0.0, 60.0]), torch.tensor([5.0, 0.0, -70.0])
    torch.testing.assert_close(unroll(on_cylinder(arc, height), AXIS), torch.stack((arc, height)))


def test_gradients_are_those_of_unrolling():
    points = on_cylinder(torch.tensor([-200.0, 10.0, 90.0]), torch.zeros(3), 80.0).double()
    points.requires_grad_()
    for index, ours in enumerate(unrolled_gradients(points, AXIS)):
        exact = torch.autograd.grad(unroll(points, AXIS)[index].sum(), points)[0]
        torch.testing.assert_close(ours, exact)


def test_the_axis_lies_behind_the_nasion_amid_the_pairs():
    head, _ = landmarks()
    axis = axis_of(head)
    assert axis.x == pytest.approx(AXIS.x, abs=1e-4)
    assert axis.z == pytest.approx(float(head["nasion"][2]) - 105)


def test_landmarks_land_on_their_chart_places():
    head, chart = landmarks(1.1, 0.9)
    chart["stomion"] = chart["stomion"] + torch.tensor((1.5, -4.0))
    warp = fit_warp(head, AXIS, chart)
    for name, place in chart.items():
        read = warp.read(unroll(head[name][:, None, None], AXIS))
        assert (read[:2, 0, 0] - place).norm() < 0.6, name


def test_slopes_are_those_of_the_places():
    head, chart = landmarks(1.2, 0.8)
    chart["stomion"] = chart["stomion"] + torch.tensor((0.0, -4.0))
    warp = fit_warp(head, AXIS, chart)
    across, up = torch.linspace(-40, 40, 9), torch.linspace(-50, 50, 9)
    at = torch.stack(torch.meshgrid(across, up, indexing="ij"))
    right = warp.read(at + torch.tensor((2.0, 0.0))[:, None, None])
    left = warp.read(at - torch.tensor((2.0, 0.0))[:, None, None])
    above = warp.read(at + torch.tensor((0.0, 2.0))[:, None, None])
    below = warp.read(at - torch.tensor((0.0, 2.0))[:, None, None])
    read = warp.read(at)
    torch.testing.assert_close(read[2:4], (right - left)[:2] / 4, atol=0.03, rtol=0)
    torch.testing.assert_close(read[4:6], (above - below)[:2] / 4, atol=0.03, rtol=0)


def test_the_back_of_the_head_meets_itself():
    head, chart = landmarks()
    warp = fit_warp(head, AXIS, chart)
    left, right = (
        warp.read(torch.tensor([s * math.pi * 96, 20.0])[:, None, None]) for s in (1, -1)
    )
    assert left[0] == pytest.approx(-right[0], abs=1.0)  # x: mirrored; and y, the same
    assert left[1] == pytest.approx(right[1], abs=1e-3)
    assert left[0] > 150


def test_landmarks_that_fold_the_face_are_refused():
    head, chart = landmarks()
    head["stomion"], head["nasion"] = head["nasion"], head["stomion"]
    with pytest.raises(InputError, match="fold"):
        fit_warp(head, AXIS, chart)
