# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that says why a transition failed and outlives a wrong request.

With rclpy's own class an exception in a transition callback vanishes without a word.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import ClassVar

from lifecycle_msgs.msg import State
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from dexndm_ros.nodes._run import NodeFailedError

__all__ = ["SteadyLifecycleNode"]

_SUCCESS = TransitionCallbackReturn.SUCCESS
_FAILURE = TransitionCallbackReturn.FAILURE
_ERROR = TransitionCallbackReturn.ERROR


class SteadyLifecycleNode(LifecycleNode):
    """Subclasses fill in ``configure``, ``activate``, ``deactivate`` and ``cleanup``.

    Attributes:
        EXPECTED: errors whose message is the whole story; others are logged with a traceback.
        last_error: why the last transition failed; empty = it did not.
    """

    EXPECTED: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.last_error = ""
        self._starting = False

    # --- for subclasses -----------------------------------------------------------------------

    def configure(self) -> None:
        """Unconfigured -> inactive; may raise, then the node stays unconfigured."""

    def activate(self) -> None:
        """Inactive -> active; may raise, then the node stays inactive."""

    def deactivate(self) -> None:
        """Active -> inactive; leaves things safe, also when called in no need of it."""

    def cleanup(self) -> None:
        """Gives back what ``configure`` took; also when called in no need of it."""

    # --- transitions --------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy."""
        return self._attempt("configure", self.configure, self.cleanup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy."""
        result = self._attempt("activate", self.activate, self.deactivate)
        return super().on_activate(state) if result is _SUCCESS else result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy; never fails, or the node would stay active."""
        self._attempt("deactivate", self.deactivate)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy."""
        self._attempt("clean up", self.cleanup)
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy, from any state."""
        self.close()
        return _SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition callback of rclpy; success = unconfigured again."""
        self.close()
        return _SUCCESS

    def close(self) -> None:
        """Leave everything safe; works twice, and after ROS has shut down."""
        self._attempt("deactivate", self.deactivate)
        self._attempt("clean up", self.cleanup)

    @property
    def active(self) -> bool:
        """Whether the node is in the active state."""
        return bool(self._state_machine.current_state[0] == State.PRIMARY_STATE_ACTIVE)

    def start_up(self) -> None:
        """Configure and activate.

        Raises:
            NodeFailedError: a transition failed; the message is the transition's.
        """
        self._starting = True  # who catches the error says it; once is enough
        try:
            for transition in (self.trigger_configure, self.trigger_activate):
                if transition() is not _SUCCESS:
                    raise NodeFailedError(self.last_error or "the node did not start; see its log")
        finally:
            self._starting = False

    def warn(self, text: str) -> None:
        """Log a warning, also when ROS has been shut down already."""
        if self.context.ok():
            self.get_logger().warning(text)
        else:
            print(f"[WARN] [{self.get_name()}]: {text}", file=sys.stderr, flush=True)

    def _attempt(
        self, what: str, work: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        self.last_error = ""
        try:
            work()
        except self.EXPECTED as error:
            self.last_error = str(error)
            if not self._starting:
                self.get_logger().error(f"{what}: {error}")
            result = _FAILURE
        except Exception as error:
            self.last_error = f"{type(error).__name__}: {error}"
            self.get_logger().error(f"{what}: {traceback.format_exc()}")
            result = _ERROR
        else:
            return _SUCCESS
        if undo is not None:
            said = self.last_error
            self._attempt(f"undo {what}", undo)
            self.last_error = said
        return result
