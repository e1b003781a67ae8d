# SPDX-License-Identifier: Apache-2.0
"""package.xml, setup.py, the requirement files and the code agree with each other."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from dexndm_ros import __version__
from dexndm_ros.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]

# Import name -> name on the Python package index, where they differ.
PYPI = {"PIL": "pillow", "dynamixel_sdk": "dynamixel-sdk", "dynamixel_easy_sdk": "dynamixel-sdk",
        "rsl_rl": "rsl-rl-lib", "serial": "pyserial", "sklearn": "scikit-learn", "yaml": "pyyaml",
        "imageio_ffmpeg": "imageio-ffmpeg", "xdist": "pytest-xdist",
        "mujoco_warp": "mujoco-warp", "warp": "warp-lang"}  # fmt: skip
# Import name -> rosdep key, for what Ubuntu 24.04 packages.
ROSDEP = {"imageio": "python3-imageio", "matplotlib": "python3-matplotlib",
          "numpy": "python3-numpy", "scipy": "python3-scipy", "serial": "python3-serial",
          "tqdm": "python3-tqdm", "yaml": "python3-yaml"}  # fmt: skip
ROS_NAMES = {"rclpy", "launch", "launch_ros", "ament_index_python"}
# Wheels of the ROS packages that another one always brings.
IMPLIED = {"rosgraph_msgs": "rclpy", "builtin_interfaces": "std_msgs"}


def is_ros(name: str) -> bool:
    return name in ROS_NAMES or name in IMPLIED or name.endswith(("_msgs", "_srvs", "_interfaces"))


def third_party_imports(folder: str) -> dict[str, str]:
    """Top-level names that a folder's files import from outside, each with one file that does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                top = name.split(".")[0]
                if top not in sys.stdlib_module_names and top not in ("dexndm_ros", "__future__"):
                    found.setdefault(top, path.relative_to(ROOT).as_posix())
    return found


def pins(name: str) -> dict[str, str]:
    """Package -> version of a requirement file, names normalised; every line must be an exact pin."""
    found = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(\[[a-z,]+\])?==([A-Za-z0-9._]+)", text)
        assert match, f"{name}: {line!r} is not an exact pin"
        found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[3]
    return found


def package_xml(path: str) -> ET.Element:
    return ET.parse(ROOT / path).getroot()


def dependencies(root: ET.Element) -> set[str]:
    return {e.text or "" for e in root if e.tag in ("depend", "exec_depend")}


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def setup_query(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", *words],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_one_version_everywhere() -> None:
    assert package_xml("package.xml").findtext("version") == __version__
    assert package_xml("msg/package.xml").findtext("version") == __version__
    assert setup_query("--version") == __version__


def test_one_name_and_licence() -> None:
    for path, name in (("package.xml", "dexndm_ros"), ("msg/package.xml", "dexndm_msgs")):
        root = package_xml(path)
        assert root.findtext("name") == name
        assert root.findtext("license") == "Apache-2.0"
    assert setup_query("--name") == "dexndm_ros"
    assert (ROOT / "resource" / "dexndm_ros").is_file()
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_every_import_of_the_package_is_declared_for_rosdep_or_pip() -> None:
    declared = dependencies(package_xml("package.xml"))
    wheels = pins("requirements.txt") | pins("requirements-training.txt")
    wheels |= pins("requirements-datasets.txt") | pins("requirements-ray.txt")
    wheels |= pins("requirements-gpu.txt")
    missing = []
    for name, where in third_party_imports("dexndm_ros").items():
        if is_ros(name):
            if IMPLIED.get(name, name) not in declared and name not in declared:
                missing.append(f"{where}: {name} is not in package.xml")
            continue
        if PYPI.get(name, name) not in wheels:
            missing.append(f"{where}: {name} is in no requirement file")
        if name in ROSDEP and ROSDEP[name] not in declared:
            missing.append(f"{where}: {ROSDEP[name]} is not in package.xml")
    assert not missing, "\n" + "\n".join(missing)


def test_every_import_of_the_tests_and_benches_is_pinned() -> None:
    wheels = pins("requirements.txt") | pins("requirements-training.txt")
    wheels |= pins("requirements-datasets.txt") | pins("requirements-ray.txt")
    wheels |= pins("requirements-gpu.txt")
    wheels |= pins("requirements-dev.txt") | pins("requirements-ros.txt")
    wheels |= pins("requirements-lerobot.txt")
    local = {path.stem for path in (ROOT / "test").iterdir()} | {"bench", "support", "test"}
    local |= {path.stem for path in (ROOT / "bench").glob("*.py")}
    for folder in ("test", "bench"):
        for name, where in third_party_imports(folder).items():
            if name not in local and not is_ros(name):
                assert PYPI.get(name, name) in wheels, f"{where}: {name} is in no requirement file"


def test_ros_packages_that_are_wheels_are_installed_as_wheels() -> None:
    wheels = pins("requirements-ros.txt")
    for name in dependencies(package_xml("package.xml")) | dependencies(
        package_xml("msg/package.xml")
    ):
        if is_ros(name) and name not in ("dexndm_msgs", "launch", "launch_ros"):
            assert "ros-" + name.replace("_", "-") in wheels


def test_training_packages_stay_out_of_the_runtime() -> None:
    heavy = set(pins("requirements-training.txt")) - set(pins("requirements.txt"))
    assert "torch" in heavy
    assert not heavy & set(pins("requirements.txt") | pins("requirements-ros.txt"))


def test_constraints_hold_every_pin() -> None:
    constraints = pins("constraints.txt")
    for name in ("requirements.txt", "requirements-ros.txt", "requirements-training.txt",
                 "requirements-datasets.txt", "requirements-ray.txt", "requirements-dev.txt",
                 "requirements-gpu.txt"):  # fmt: skip
        for package, version in pins(name).items():
            if package != "setuptools":
                assert constraints.get(package) == version, f"{name}: {package}"


def test_console_scripts_name_functions_that_exist() -> None:
    source = (ROOT / "setup.py").read_text(encoding="utf-8")
    nodes = re.search(r"^NODES = \(([^)]*)\)$", source, re.MULTILINE)
    assert nodes
    named = re.findall(r'"(\w+)"', nodes[1])
    present = [
        path.stem
        for path in sorted((ROOT / "dexndm_ros" / "nodes").glob("[a-z]*.py"))
        if "main" in functions(path)
    ]
    assert sorted(named) == present
    targets = [f"dexndm_ros.nodes.{node}:main" for node in named]
    for target in [*targets, *(command.target for command in COMMANDS)]:
        module, _, function = target.partition(":")
        path = ROOT / (module.replace(".", "/") + ".py")
        assert path.is_file(), target
        assert function in functions(path), target


def test_share_holds_launch_files_configuration_and_policies() -> None:
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not isinstance(node, ast.Expr)]  # not setup(...)
    names: dict[str, object] = {"__file__": str(ROOT / "setup.py")}
    exec(compile(tree, "setup.py", "exec"), names)
    shared = dict(names["shared_files"]())
    installed = {name for files in shared.values() for name in files}
    for pattern in (
        "launch/*.launch.py",
        "config/**/*.yaml",
        "config/udev/*",
        "policies/**/*.onnx",
        "policies/**/*.parquet",
    ):
        for path in ROOT.glob(pattern):
            name = path.relative_to(ROOT).as_posix()
            assert name in installed
            assert name in shared[f"share/dexndm_ros/{Path(name).parent.as_posix()}"]


def test_every_interface_field_is_commented() -> None:
    for path in [*(ROOT / "msg").glob("*.msg"), *(ROOT / "msg" / "srv").glob("*.srv")]:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# "), f"{path.name} does not begin with what it is for"
        for line in lines[1:]:
            declaration = line.split("#")[0].strip()
            constant = re.fullmatch(r"\w+ [A-Z][A-Z0-9_]*=.+", declaration)
            if declaration not in ("", "---") and not constant:
                assert "#" in line, f"{path.name}: {line}"


def test_yaml_and_toml_that_others_read_are_well_formed() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for step in workflow["jobs"]["wheels"]["steps"]]
    assert ".ci/run" in steps
    assert workflow["jobs"]["jazzy"]["container"] == "ros:jazzy"
    assert any("make test" in step.get("run", "") for step in workflow["jobs"]["jazzy"]["steps"])
    assert yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    markers = {text.split(":")[0] for text in settings["tool"]["pytest"]["ini_options"]["markers"]}
    assert markers == {"ros", "hw", "soak", "slow", "flaky"}


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", "docs/hardware.md"])
def test_links_of_the_documents_lead_somewhere(path: str) -> None:
    file = ROOT / path
    for link in re.findall(r"\]\(([^)#]+)", file.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (file.parent / link).exists(), f"{path}: {link}"
