# SPDX-License-Identifier: Apache-2.0
"""Draws a recorded run off screen: ``python -m dexndm_ros.demo.render DIR`` reads DIR/recording.npz.

Writes ``demo.mp4``, ``demo.gif`` and ``stills.png`` beside it. A process of its own, so that neither
MuJoCo nor a graphics driver is ever in the demo's.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dexndm_ros.demo.errors import DemoError
from dexndm_ros.demo.recording import RecordingData

__all__ = ["GIF_FILE", "STILLS_FILE", "VIDEO_FILE", "RenderConfig", "main", "render"]

VIDEO_FILE, GIF_FILE, STILLS_FILE = "demo.mp4", "demo.gif", "stills.png"
_LEAD_IN_S = 1.0
_STILLS = 4
_GIF_EVERY = 2
_GIF_COLOURS = 64
_AWAY_M = np.array([0.0, 0.0, -5.0])

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class RenderConfig:
    """Size and length of the pictures.

    Attributes:
        width_px: of the video; a multiple of 16 for the encoder.
        height_px: likewise.
        rate_hz: frames a second.
        longest_s: of the video, from the run's beginning.
        gif_s: of the GIF.
    """

    width_px: int = 640
    height_px: int = 480
    rate_hz: float = 20.0  # as often as the virtual hand tells its pose
    longest_s: float = 30.0
    gif_s: float = 10.0


def render(folder: Path, config: RenderConfig | None = None) -> list[Path]:
    """Draw the recording in a folder.

    Returns:
        the files written.

    Raises:
        DemoError: nothing can be drawn here.
    """
    config = config or RenderConfig()
    data = RecordingData.load(folder)
    if not data.state_s.size:
        raise DemoError("no pictures: no joint states were recorded")
    begin_s = max(-_LEAD_IN_S, float(data.state_s[0]))
    end_s = min(float(data.state_s[-1]), config.longest_s)
    times_s = np.arange(begin_s, max(end_s, begin_s + 1e-9), 1.0 / config.rate_hz)
    scene = _Scene(folder, data, config)
    written = [folder / VIDEO_FILE, folder / GIF_FILE, folder / STILLS_FILE]
    shots = set(np.linspace(0, len(times_s) - 1, _STILLS + 2)[1:-1].astype(int).tolist())
    gif: list[Any] = []
    stills: list[Image] = []
    with _video_writer(written[0], config.rate_hz) as video:
        for number, (time_s, image) in enumerate(zip(times_s, scene.frames(times_s), strict=True)):
            if number in shots:
                stills.append(image)
            labelled = _label(image, time_s, _angle(data, time_s))
            video.append_data(np.asarray(labelled))
            if number % _GIF_EVERY == 0 and time_s - begin_s <= config.gif_s:
                gif.append(_gif_frame(labelled))
    _save_gif(written[1], gif, 1000.0 * _GIF_EVERY / config.rate_hz)
    _save_stills(written[2], stills)
    return written


class _Scene:
    """The world of a recording, posed and drawn."""

    def __init__(self, folder: Path, data: RecordingData, config: RenderConfig) -> None:
        # Without a display EGL is what draws; it is asked before MuJoCo is imported.
        os.environ.setdefault("MUJOCO_GL", "egl")
        try:
            import mujoco

            from dexndm_ros.sim.scene import build_model
            from dexndm_ros.sim.worlds import ObjectConfig, World

            if data.world:
                world = World.load(folder / data.world)
            else:
                wrist = ",".join(repr(float(value)) for value in data.wrist_xyzw)
                world = World(name="hand", wrist=wrist, object=ObjectConfig(kind="none"))
            self._model = build_model(world, visual=True)
            self._model.vis.global_.offwidth = config.width_px
            self._model.vis.global_.offheight = config.height_px
            # One lamp above leaves half of the hand in the dark.
            self._model.vis.headlight.ambient = np.full(3, 0.3)
            self._model.vis.headlight.diffuse = np.full(3, 0.3)
            self._renderer = mujoco.Renderer(self._model, config.height_px, config.width_px)
        except Exception as error:  # whatever a graphics driver may raise
            first = str(error).strip().splitlines()[:1] or [type(error).__name__]
            raise DemoError(
                f"no video: MuJoCo cannot draw off screen here ({first[0]}); "
                "install libegl1 and libgl1-mesa-dri, or set MUJOCO_GL to a backend that works"
            ) from error
        self._mujoco = mujoco
        self._data = mujoco.MjData(self._model)
        self._recorded = data
        self._camera = self._place_camera()

    def _place_camera(self) -> Any:
        from dexndm_ros.sim.worlds import GRASP_CENTRE_M

        self._mujoco.mj_kinematics(self._model, self._data)
        palm = self._data.body("palm")
        rotation = palm.xmat.reshape(3, 3)
        camera = self._mujoco.MjvCamera()
        camera.lookat = palm.xpos + rotation @ (0.75 * GRASP_CENTRE_M)
        camera.distance = 0.36
        camera.azimuth = 140.0
        # From above when the grasp side looks up, from below when the object hangs under the palm.
        grasp_up = -rotation[2, 2]
        camera.elevation = -42.0 if grasp_up > 0.5 else 22.0
        return camera

    def frames(self, times_s: NDArray[np.float64]) -> Iterator[Image]:
        """A picture for each time, (height, width, 3)."""
        from dexndm_ros.hand.joints import JOINT_NAMES
        from dexndm_ros.sim.hand_model import wxyz
        from dexndm_ros.sim.scene import OBJECT_JOINT

        model, data = self._model, self._data
        q, position, xyzw = self._recorded.poses(times_s)
        slots = [model.joint(name).qposadr[0] for name in JOINT_NAMES]
        has_object = self._mujoco.mj_name2id(
            model, self._mujoco.mjtObj.mjOBJ_JOINT, OBJECT_JOINT
        ) >= 0  # fmt: skip
        palm_position = data.body("palm").xpos.copy()
        palm_rotation = data.body("palm").xmat.reshape(3, 3).copy()
        palm_quat = data.body("palm").xquat.copy()
        for k in range(len(times_s)):
            data.qpos[slots] = q[k]
            if has_object:
                at = model.joint(OBJECT_JOINT).qposadr[0]
                data.qpos[at : at + 3] = _AWAY_M
                if position is not None and xyzw is not None:
                    data.qpos[at : at + 3] = palm_position + palm_rotation @ position[k]
                    turned = np.zeros(4)
                    self._mujoco.mju_mulQuat(turned, palm_quat, wxyz(xyzw[k]))
                    data.qpos[at + 3 : at + 7] = turned
            self._mujoco.mj_kinematics(model, data)
            self._mujoco.mj_camlight(model, data)
            self._renderer.update_scene(data, self._camera)
            yield self._renderer.render()


def _video_writer(path: Path, rate_hz: float) -> Any:
    try:
        import imageio

        return imageio.get_writer(
            path, fps=rate_hz, codec="libx264", quality=7, macro_block_size=16
        )
    except Exception as error:  # imageio's plugins raise what they like
        raise DemoError(f"no video: {error}; pip install imageio imageio-ffmpeg pillow") from error


def _angle(data: RecordingData, time_s: float) -> float | None:
    if not data.angle_s.size:
        return None
    return float(np.interp(time_s, data.angle_s, data.angle))


def _label(image: Image, time_s: float, angle_rad: float | None) -> Any:
    from PIL import Image as Pillow
    from PIL import ImageDraw, ImageFont

    picture = Pillow.fromarray(image)
    text = f"{max(time_s, 0.0):5.1f} s"
    if angle_rad is not None:
        text = f"{angle_rad:+6.2f} rad   {text}"
    font = ImageFont.load_default(size=22)
    draw = ImageDraw.Draw(picture)
    draw.text((17, 15), text, fill=(0, 0, 0), font=font)
    draw.text((16, 14), text, fill=(255, 255, 255), font=font)
    return picture


def _gif_frame(picture: Any) -> Any:
    from PIL import Image as Pillow

    small = picture.resize((picture.width * 3 // 5, picture.height * 3 // 5))
    return small.quantize(_GIF_COLOURS, dither=Pillow.Dither.NONE)


def _save_gif(path: Path, frames: Sequence[Any], period_ms: float) -> None:
    frames[0].save(
        path, save_all=True, append_images=frames[1:], duration=round(period_ms), loop=0
    )  # fmt: skip


def _save_stills(path: Path, stills: Sequence[Image]) -> None:
    from PIL import Image as Pillow

    cut = max(1, stills[0].shape[1] // 8)
    Pillow.fromarray(np.concatenate([s[:, cut:-cut] for s in stills], axis=1)).save(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Draw, or say in one sentence why not."""
    parser = argparse.ArgumentParser(prog="python -m dexndm_ros.demo.render", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--longest", type=float, default=RenderConfig.longest_s, metavar="S")
    arguments = parser.parse_args(argv)
    try:
        render(arguments.folder, RenderConfig(longest_s=arguments.longest))
    except DemoError as error:
        print(f"[ERROR] {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
