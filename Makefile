# SPDX-License-Identifier: Apache-2.0
#
#   make demo               set up what is missing, then show a hand rotating a cylinder
#   make demo ARGS="..."    the same, with arguments for `dexndm demo` (--help lists them)
#   make teleop             set up what is missing, then a recorded operator with a virtual arm takes and turns a cylinder
#   make teleop ARGS="..."  the same, with arguments for `dexndm teleop` (--source webxr: with a headset)
#   make collect            set up what is missing, then collect data for a minute in the virtual Chaos Box
#   make collect ARGS="..." the same, with arguments for `dexndm collect` (--trajectories N --out DIR --headless)
#   make close-the-gap      set up what is missing, then the whole loop at small scale: data, corrections, evaluation
#   make close-the-gap ARGS="..." the same, with arguments for `dexndm close-the-gap` (--world NAME --out DIR)
#   make test               set up what is missing, then lint, type check and test
#   make lint               ruff and mypy alone
#   make format             let ruff lay out the code
#   make bench              measure the numbers of bench/ in one run
#   make soak               the tests that run for many minutes
#   make setup              only set up what the demo needs
#   make setup-dev          only set up what tests, linters, training and datasets need
#   make setup-lerobot      only set up the published LeRobot reader, which a test of datasets uses (280 MB)
#   make policy             train the shipped policy from nothing (hours; resumes where it was cut off)
#   make clean              remove everything that was set up, built or measured here
#
# No ROS on the machine: Jazzy comes as wheels into .venv. A sourced Jazzy is used as it is.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
ARGS ?=

enter := . scripts/env.sh

# A ROS on the machine brings pytest plugins that no released pytest fits; the tests use these four.
pytest := env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -p _hypothesis_pytestplugin -p pytest_rerunfailures -p pytest_timeout -p xdist.plugin

.PHONY: help setup setup-dev setup-lerobot demo teleop collect close-the-gap test lint format bench soak policy clean

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@scripts/setup

setup-dev:
	@scripts/setup --dev

setup-lerobot: setup-dev
	@scripts/setup-lerobot

demo: setup
	@$(enter) && exec python -m dexndm_ros.cli demo $(ARGS)

teleop: setup
	@$(enter) && exec python -m dexndm_ros.cli teleop $(ARGS)

collect: setup
	@$(enter) && exec python -m dexndm_ros.cli collect $(ARGS)

close-the-gap: setup-dev
	@$(enter) && exec python -m dexndm_ros.cli close-the-gap $(ARGS)

# pytest comes last, so that its summary is the last line of the output. Two files at a time, for many tests wait more
# than they work. Without the LeRobot reader one test is skipped.
test: lint
	@scripts/setup-lerobot || echo "no LeRobot reader could be set up: its test will be skipped"
	@$(enter) && exec $(pytest) -n 2 $(ARGS)

lint: setup-dev
	@$(enter) && ruff check . && ruff format --check . && mypy

format: setup-dev
	@$(enter) && ruff check --fix . && ruff format .

bench: setup-dev
	@$(enter) && exec python -m bench $(ARGS)

soak: setup-dev
	@$(enter) && exec $(pytest) -m soak -o faulthandler_timeout=7200 -o timeout=0 $(ARGS)

policy: setup-dev
	@$(enter) && exec scripts/train-cylinder-z

clean:
	rm -rf .venv .venv-lerobot build install log .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
