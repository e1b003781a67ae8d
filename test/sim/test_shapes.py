# SPDX-License-Identifier: Apache-2.0
"""Shapes of convex pieces, their sizes, and the families of Table 14."""

from __future__ import annotations

import dataclasses
import itertools

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from dexndm_ros.sim.scene import OBJECT_BODY, build_model, object_shape
from dexndm_ros.sim.shapes.families import FAMILIES, TEST_FAMILY, TRAINED, draw_object, shape_named
from dexndm_ros.sim.shapes.irregular import irregular
from dexndm_ros.sim.shapes.pieces import KINDS, Piece, Shape, ShapeError
from dexndm_ros.sim.worlds import World, WorldError

positive = st.floats(0.05, 2.0)
piece = st.builds(
    lambda kind, size, place, turn: Piece(
        kind, size, place, tuple(Rotation.from_rotvec(turn).as_quat().tolist())
    ),
    st.sampled_from(KINDS),
    st.tuples(positive, positive, positive),
    st.tuples(*[st.floats(-1, 1)] * 3),
    st.tuples(*[st.floats(-3, 3)] * 3),
)


def points_of(piece: Piece) -> np.ndarray:
    """Points of its skin, found without ``reach``."""
    a, b, c = piece.size
    ball = np.random.default_rng(0).normal(size=(4000, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    if piece.kind == "box":
        local = np.array(list(itertools.product((-a, a), (-b, b), (-c, c))))
    elif piece.kind == "ellipsoid":
        local = ball * [a, b, c]
    elif piece.kind == "sphere":
        local = ball * a
    else:
        ends = np.where(ball[:, 2:] > 0, [0, 0, b], [0, 0, -b])
        if piece.kind == "capsule":
            local = a * ball + ends
        else:
            ring = ball[:, :2] / np.linalg.norm(ball[:, :2], axis=1, keepdims=True)
            local = np.column_stack([a * ring, ends[:, 2]])
    return Rotation.from_quat(piece.rotation_xyzw).apply(local) + piece.position


@settings(max_examples=150, deadline=None)
@given(piece)
def test_the_box_around_a_piece_touches_it_and_holds_it(piece):
    points = points_of(piece)
    lower, upper = Shape("one", (piece,)).bounds()
    assert (points >= lower - 1e-9).all() and (points <= upper + 1e-9).all()
    near = 0.02 * max(piece.size)
    np.testing.assert_allclose(points.min(axis=0), lower, atol=near)
    np.testing.assert_allclose(points.max(axis=0), upper, atol=near)


@settings(max_examples=60, deadline=None)
@given(st.lists(piece, min_size=1, max_size=5), st.floats(0.02, 0.2))
def test_a_sized_shape_is_centred_and_as_small_as_asked(pieces, size):
    shape = Shape("some", tuple(pieces))
    sized = shape.sized(size)
    assert sized.extents.min() == pytest.approx(size)
    assert sized.aspect == pytest.approx(shape.aspect)
    np.testing.assert_allclose(np.sum(sized.bounds(), axis=0), 0.0, atol=1e-9)
    assert sum(sized.masses(0.05)) == pytest.approx(0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_volumes_are_those_of_the_simulator(kind):
    spec = mujoco.MjSpec()
    one = Piece(kind, (0.03, 0.05, 0.02))
    shape = getattr(mujoco.mjtGeom, f"mjGEOM_{kind.upper()}")
    spec.worldbody.add_body().add_geom(type=shape, size=list(one.size), density=1000.0)
    assert spec.compile().body_mass[1] == pytest.approx(1000.0 * one.volume, rel=1e-6)


@pytest.mark.parametrize(
    "kind, size",
    [("torus", (1, 1, 1)), ("box", (1, 1, 0)), ("sphere", (-1, 1, 1)), ("capsule", (1, float("nan"), 1))],
)  # fmt: skip
def test_a_piece_that_cannot_be_is_refused(kind, size):
    with pytest.raises(ShapeError, match=kind):
        Piece(kind, size)


def aspects_of(family):
    rng = np.random.default_rng(0)
    for number in range(len(family.prototypes)):
        yield object_shape(draw_object(family, number, rng)).aspect


def test_families_are_those_of_table_14():
    counts = {name: len(family.prototypes) for name, family in FAMILIES.items()}
    assert counts == {
        "cylinders": 9, "cuboids": 9, "long_cuboids": 4, "small_cylinders": 9, "irregular": 120, "named": 26,
        "cubes": 1, "bricks": 1,
    }  # fmt: skip
    aspects = {name: list(aspects_of(family)) for name, family in FAMILIES.items()}
    assert min(aspects["cuboids"]) >= 1.25 - 1e-9 and max(aspects["cuboids"]) <= 1.5 + 1e-9
    assert min(aspects["long_cuboids"]) == pytest.approx(2.5)
    assert max(aspects["long_cuboids"]) == pytest.approx(6.67)
    for name in ("irregular", "named"):
        assert min(aspects[name]) > 1.0 and max(aspects[name]) <= 2.0


def test_nothing_that_is_tested_on_is_trained_on():
    assert set(FAMILIES) - set(TRAINED) == {TEST_FAMILY, "cubes", "bricks"}
    trained = [one for name in TRAINED for one in FAMILIES[name].prototypes]
    assert not any(len(set(one.half_size_m)) == 1 for one in trained if one.kind == "cuboid")
    tested = {one.shape for one in FAMILIES[TEST_FAMILY].prototypes}
    for name in TRAINED:
        assert not tested & {one.shape for one in FAMILIES[name].prototypes}


def test_a_number_is_a_shape_for_ever():
    assert irregular(7) == irregular(7) != irregular(11)
    assert {shape_named(f"irregular_{k:03d}").pieces for k in range(0, 120, 7)}.__len__() == 18


@pytest.mark.parametrize("name", ["", "irregular_120", "irregular_x", "teacup"])
def test_a_shape_that_is_not_there_is_refused_with_what_is(name):
    world = {"object": {"kind": "shape", "shape": name}}
    with pytest.raises(WorldError, match=r"object\.shape: shape .* teapot"):
        World.from_dict(world)


def test_models_of_different_shapes_can_be_stepped_together():
    worlds = [
        dataclasses.replace(World(), object=draw_object(FAMILIES[name], 3, np.random.default_rng(0)))
        for name in ("cylinders", "irregular", "named")
    ]  # fmt: skip
    models = [build_model(world, pieces=8) for world in worlds]
    assert len({(m.ngeom, m.nq, m.nv, m.nbody) for m in models}) == 1
    for model in models:
        assert model.body(OBJECT_BODY).mass[0] == pytest.approx(0.05)


def test_the_centre_of_mass_moves_and_nothing_else_does():
    even = dataclasses.replace(World().object, kind="shape", shape="mug", size_m=0.05)
    beside = dataclasses.replace(even, centre_of_mass_m=(0.004, -0.002, 0.001))
    a, b = (
        build_model(dataclasses.replace(World(), object=one)).body(OBJECT_BODY)
        for one in (even, beside)
    )
    np.testing.assert_allclose(b.ipos - a.ipos, (0.004, -0.002, 0.001), atol=1e-12)
    np.testing.assert_allclose(b.inertia, a.inertia)
    assert b.mass == pytest.approx(a.mass)
