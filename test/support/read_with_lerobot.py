# SPDX-License-Identifier: Apache-2.0
"""Opens a dataset with the published LeRobot reader, and prints what it found as JSON. Run by .venv-lerobot."""

from __future__ import annotations

import json
import sys

import torch


def prepare_torchvision() -> None:
    """Let torchvision be imported beside a torch without CUDA.

    Its wheel on PyPI looks for CUDA's libraries; without them its operators are missing, which only its detection
    models use, and its import fails because of two that are not even declared.
    """
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    sys.modules["_kept"] = library  # type: ignore[assignment]  # the declarations live as long as it does


def main() -> None:
    prepare_torchvision()
    from lerobot.datasets.compute_stats import aggregate_stats
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    root, episode = sys.argv[1], int(sys.argv[2])
    windows = {"observation.state": [-0.1, -0.05, 0.0], "action": [0.0, 0.05]}
    dataset = LeRobotDataset("local/set", root=root, delta_timestamps=windows)
    part = LeRobotDataset("local/set", root=root, episodes=[episode])
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True)))
    middle = dataset[dataset.meta.episodes[episode]["dataset_from_index"] + 4]
    merged = aggregate_stats([dataset.meta.stats, dataset.meta.stats])
    found = {
        "episodes": dataset.num_episodes,
        "frames": dataset.num_frames,
        "fps": dataset.fps,
        "robot": dataset.meta.robot_type,
        "version": str(dataset.meta._version),
        "keys": sorted(middle),
        "state": middle["observation.state"].tolist(),
        "action": middle["action"].tolist(),
        "padded": dataset[0]["observation.state_is_pad"].tolist(),
        "task": middle["task"],
        "timestamp": middle["timestamp"].item(),
        "frame_index": middle["frame_index"].item(),
        "episode_index": middle["episode_index"].item(),
        "batch": list(batch["observation.state"].shape),
        "part": [len(part), part[0]["index"].item()],
        "rows": len(dataset.hf_dataset),
        "mean": dataset.meta.stats["action"]["mean"].tolist(),
        "merged_count": merged["action"]["count"].tolist(),
        "facts": {
            key: dataset.meta.episodes[episode][key] for key in ("identity", "bag", "verdict")
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
