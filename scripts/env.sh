# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Source this from bash, after `make setup`: it activates .venv, and makes dexndm_msgs, dexndm_ros and the `dexndm`
# command available in this shell. With a Jazzy sourced before, it stays the ROS in use; otherwise the ROS wheels in
# .venv are. Sourcing it twice does no harm.

_dexndm_root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

_dexndm_env() {
    local root="$1" name kept made sourced=wheels
    if [ ! -f "$root/.venv/bin/activate" ] || [ ! -f "$root/install/local_setup.bash" ]; then
        echo "error: $root is not set up yet; run 'make setup' there first" >&2
        return 1
    fi

    # An earlier sourcing in this shell: its entries are dropped, so that they do not pile up.
    for name in AMENT_PREFIX_PATH CMAKE_PREFIX_PATH PYTHONPATH LD_LIBRARY_PATH; do
        kept="$(printf '%s' "${!name:-}" | tr ':' '\n' |
            grep -v -e "^$root\$" -e "^$root/install/" -e "^$root/\.venv\$" | paste -sd: - || true)"
        if [ -n "$kept" ]; then export "$name=$kept"; else unset "$name"; fi
    done

    # Two ROS in one environment do not work, and a missing one does not either.
    made="$(cut -d, -f1 "$root/.venv/.dexndm/kind" 2>/dev/null)"
    if [ -n "${ROS_DISTRO:-}" ] && [ -n "${AMENT_PREFIX_PATH:-}" ]; then sourced="$ROS_DISTRO"; fi
    if [ "$made" != "$sourced" ]; then
        echo "error: $root was set up with ROS '$made', but this shell has '$sourced' (wheels = none sourced);" \
            "run 'make setup' again here, or use a shell that fits" >&2
        return 1
    fi

    # shellcheck disable=SC1091
    . "$root/.venv/bin/activate" || return 1
    # Only the messages come from the colcon install: the Python package itself runs from this checkout.
    # shellcheck disable=SC1091
    . "$root/install/local_setup.bash" || return 1
    export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
    if [ "$made" = wheels ]; then
        # The wheels make .venv a ROS prefix without setup files, so colcon's script cannot know it.
        export AMENT_PREFIX_PATH="${AMENT_PREFIX_PATH:+$AMENT_PREFIX_PATH:}$root/.venv"
        export CMAKE_PREFIX_PATH="${CMAKE_PREFIX_PATH:+$CMAKE_PREFIX_PATH:}$root/.venv"
    fi
    # Nothing here talks to another machine unless asked to.
    eval "$(python -m dexndm_ros.middleware)"
}

# Activate and colcon's scripts read variables that may be unset.
case $- in
*u*)
    set +u
    _dexndm_env "$_dexndm_root"
    _dexndm_status=$?
    set -u
    ;;
*)
    _dexndm_env "$_dexndm_root"
    _dexndm_status=$?
    ;;
esac
unset -f _dexndm_env
unset _dexndm_root
# shellcheck disable=SC2317
return "$_dexndm_status" 2>/dev/null || exit "$_dexndm_status"
