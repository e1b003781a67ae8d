# SPDX-License-Identifier: Apache-2.0
"""The `dexndm` command: dispatch, and what a user reads when something is wrong."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from dexndm_ros import __version__, cli


class OurError(ValueError):
    """Stands for any error class of the package."""


OurError.__module__ = "dexndm_ros.somewhere"


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch):
    """Puts a function in the place of `dexndm demo`."""

    def install(function) -> None:
        module = ModuleType("stand_in_for_demo")
        module.main = function
        monkeypatch.setitem(sys.modules, "stand_in_for_demo", module)
        command = cli.Command("demo", "stand_in_for_demo:main", "a stand-in")
        monkeypatch.setattr(cli, "COMMANDS", (command,))

    monkeypatch.delenv("DEXNDM_TRACEBACK", raising=False)
    return install


def raising(error: BaseException):
    def job(argv: list[str]) -> int:
        raise error

    return job


def test_the_rest_of_the_line_and_the_status_pass_through(job) -> None:
    seen: list[str] = []
    job(lambda argv: seen.extend(argv) or 7)
    assert cli.main(["demo", "--seconds", "3", "--", "demo"]) == 7
    assert seen == ["--seconds", "3", "--", "demo"]


def test_a_job_that_returns_nothing_has_succeeded(job) -> None:
    job(lambda argv: None)
    assert cli.main(["demo"]) == 0


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_every_command(words: list[str], capsys) -> None:
    assert cli.main(words) == 0
    text = capsys.readouterr().out
    for command in cli.COMMANDS:
        assert command.name in text
        assert command.summary in text


def test_nothing_asked_shows_the_help_and_is_wrong_use(capsys) -> None:
    assert cli.main([]) == 2
    assert "usage: dexndm" in capsys.readouterr().err


def test_version(capsys) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dexndm {__version__}\n"


def test_an_unknown_command_names_the_nearest_and_all(capsys) -> None:
    assert cli.main(["docter"]) == 2
    text = capsys.readouterr().err
    assert "'docter'" in text
    assert "did you mean 'doctor'?" in text
    assert "virtual-hand" in text


def test_our_errors_are_one_sentence(job, capsys) -> None:
    job(raising(OurError("axis (0, 0, 2) has length 2; give a unit vector")))
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == (
        "dexndm demo: axis (0, 0, 2) has length 2; give a unit vector\n"
    )


def test_a_file_that_cannot_be_opened_is_one_sentence(job, capsys, tmp_path) -> None:
    job(lambda argv: (tmp_path / "absent").open())
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == f"dexndm demo: {tmp_path}/absent: No such file or directory\n"


def test_a_defect_keeps_its_traceback(job) -> None:
    job(raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        cli.main(["demo"])


def test_the_traceback_of_our_errors_can_be_had(job, monkeypatch) -> None:
    monkeypatch.setenv("DEXNDM_TRACEBACK", "1")
    job(raising(OurError("x")))
    with pytest.raises(OurError):
        cli.main(["demo"])


def test_interrupt_ends_quietly(job, capsys) -> None:
    job(raising(KeyboardInterrupt()))
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "\ndexndm demo: interrupted\n"


@pytest.mark.parametrize(
    ("module", "cure"), [("viser", "pip install"), ("rclpy", "setup.bash"), ("std_srvs", "env.sh")]
)
def test_a_missing_package_comes_with_its_cure(job, capsys, module: str, cure: str) -> None:
    job(raising(ModuleNotFoundError(f"No module named {module!r}", name=f"{module}.sub")))
    assert cli.main(["demo"]) == 1
    text = capsys.readouterr().err
    assert repr(module) in text
    assert cure in text


def test_a_missing_module_of_ours_is_a_defect(job) -> None:
    job(raising(ModuleNotFoundError("gone", name="dexndm_ros.gone")))
    with pytest.raises(ModuleNotFoundError):
        cli.main(["demo"])
