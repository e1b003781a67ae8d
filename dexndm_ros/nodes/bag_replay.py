# SPDX-License-Identifier: Apache-2.0
"""``bag_replay``: plays a bag's topics back into the graph, as they were: bytes, pace, order, quality of service.

Nothing is decoded, unless a type has got new fields since. What may make something move is withheld unless
``publish_commands`` is set, and then nobody may listen to it but the nodes that were allowed by name; while another
node publishes a topic of the bag, nothing is played at all.
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock as ClockMessage
from std_srvs.srv import Trigger

from dexndm_ros.bags.types import BagError, TopicInfo
from dexndm_ros.nodes._bag_replay_io import (
    PARAMETERS,
    make_publisher,
    message_class,
    number,
    read_options,
)
from dexndm_ros.nodes._bag_replay_watch import GraphWatch
from dexndm_ros.nodes._run import NodeRefusedError, run_node
from dexndm_ros.nodes._time import fill_stamp
from dexndm_ros.playback.console import HELP, Console, Key, next_rate, status_text
from dexndm_ros.playback.evolve import Evolution, evolution
from dexndm_ros.playback.opening import Opened, open_for_playing
from dexndm_ros.playback.player import PlaybackError, Player, PlayerState, State
from dexndm_ros.playback.runner import PlayerThread
from dexndm_ros.playback.select import commands_as
from dexndm_ros.playback.timeline import Entry

__all__ = ["PARAMETERS", "BagReplayNode", "main"]

_LOOK_S = 0.2
_UNSETTLED_S = 5.0
"""A graph in which somebody always comes and goes is not waited for longer."""
_SHOW_S = 0.1
_REPORT_S = 1.0
_SEEK_S = 5.0
_ACKED_S = 1.0
"""Listeners confirm up to 3 s later what they have had at once; a busy one needs less than this."""


class BagReplayNode(Node):
    """Wires a ``PlayerThread`` to the graph, and to the terminal if it is to."""

    def __init__(self) -> None:
        super().__init__("bag_replay")
        self._failure = ""
        self._trouble = ""
        self._withheld = self._moved_ns = 0
        self._started = self._over = False
        self._runner: PlayerThread | None = None
        self._console: Console | None = None
        self._outputs: dict[str, Publisher] = {}
        self._commands: dict[str, Publisher] = {}
        self._evolved: dict[str, Evolution] = {}

    # --- what run_node asks of a node -----------------------------------------------------------

    def begin(self) -> None:
        """Open the bag, offer its topics; playing begins when others had time to find them."""
        try:
            options = read_options(self)
            self._delay_s = number("delay_s", self.get_parameter("delay_s").value)
            self._opened = opened = open_for_playing(options, _unusable)
        except (PlaybackError, BagError, OSError) as error:
            raise NodeRefusedError(str(error)) from error
        for played in opened.selection.played:
            self._outputs[played.info.name] = output = make_publisher(self, played)
            if evolved := evolution(played.info):
                self._evolved[played.info.name] = evolved
            if played.command:
                self._commands[played.info.name] = output
            elif why := commands_as(played.info, output.topic_name):
                # ROS itself was told to use other names.
                raise NodeRefusedError(
                    f"{played.info.name} would be played as {output.topic_name}: {why}; use the parameter remap "
                    "(--remap), with publish_commands if that is meant"
                )
        self._watch = GraphWatch(
            self, list(self._outputs.values()), list(self._commands.values()), options.listeners
        )
        ticks = [opened.selection.ticks] if opened.selection.ticks else []
        player = Player(
            opened.timeline.entries, opened.begin_ns, opened.end_ns, self._publish, options.play, ticks
        )  # fmt: skip
        self._runner = PlayerThread(player)
        self._announce(opened)
        self._join_graph(options.clock_hz)
        if self.get_parameter("keyboard").value:
            self._console = Console(self._on_key)
            self._console.start()
            if self._console.has_keys:
                self._say(f"keys: {HELP}")
        self._due_s = time.monotonic() + self._delay_s
        gc.collect()
        gc.freeze()

    def failure(self) -> str:
        """Why the process must end; '' = it need not."""
        return self._failure

    def close(self) -> None:
        """Stop playing, leave the terminal as it was."""
        if self._runner is not None:
            self._runner.close()
        if self._console is not None:
            self._console.close()

    # --- begin ----------------------------------------------------------------------------------

    def _announce(self, opened: Opened) -> None:
        span, bag = opened.span, opened.bag
        played_s = (opened.end_ns - opened.begin_ns) / 1e9
        self._say(
            f"{bag.name}: {sum(span.counts.values())} messages of {len(span.counts)} topics, "
            f"{span.duration_s:.2f} s; {played_s:.2f} s are played"
        )
        for note in opened.notes:
            self._warn(note)
        for each in opened.selection.left_out:
            self._warn(f"{each.name} is left out: {each.why}")
        for name, evolved in self._evolved.items():
            self._warn(f"{name}: {evolved.text}")
        for damage in bag.damage:
            self._warn(f"the bag is not whole, what is whole is played: {damage}")

    def _join_graph(self, clock_hz: float) -> None:
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._clock_publisher = None
        if clock_hz > 0:
            self._clock_publisher = self.create_publisher(ClockMessage, "/clock", 10)
            self.create_timer(1.0 / clock_hz, self._tell_time, clock=steady)
        for name, act in (
            ("pause", self._pause),
            ("resume", self._resume),
            ("step", self._step),
            ("tick", self._tick),
            ("restart", self._restart),
        ):
            self.create_service(
                Trigger, f"bag_replay/{name}",
                lambda request, response, act=act: self._answer(act, response),
            )  # fmt: skip
        self.add_on_set_parameters_callback(self._on_parameters)
        self.create_timer(_LOOK_S, self._look, clock=steady)
        self.create_timer(_REPORT_S, self._report, clock=steady)
        self.create_timer(_SHOW_S, self._show, clock=steady)

    # --- the player's thread --------------------------------------------------------------------

    def _publish(self, entry: Entry) -> None:
        publisher, self._moved_ns = self._outputs[entry.topic], entry.moved_ns
        if entry.topic in self._commands and (trouble := self._watch.command_trouble()):
            self._withheld += 1
            self._stand(trouble)
            return
        evolved = self._evolved.get(entry.topic)
        publisher.publish(entry.data if evolved is None else evolved.convert(entry.data))

    # --- the executor's thread --------------------------------------------------------------------

    def _look(self) -> None:
        """See whether it may play, and whether it is over."""
        runner = self._runner
        if runner is None or self._over:
            return
        if not self._started:
            now_s = time.monotonic()
            settled = self._watch.settled() or now_s > self._due_s + _UNSETTLED_S
            if now_s < self._due_s or not settled:
                return
            if trouble := self._watch.trouble():
                self._failure = trouble
                return
            self._started = True
            runner.start()
            if runner.state().state is State.PAUSED:
                self._say("paused at the start; bag_replay/resume, step and tick go on, as keys do")
        elif trouble := self._watch.trouble():
            self._stand(trouble)
        else:
            self._trouble = ""
        if runner.ended:
            self._finish(runner)

    def _stand(self, trouble: str) -> None:
        """Nothing more is played until the trouble is gone and somebody asks for it."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if self._runner is not None:
            self._runner.pause()
        self._warn(f"paused: {trouble}")

    def _finish(self, runner: PlayerThread) -> None:
        self._over = True
        if runner.error is not None:
            self._failure = f"playing ended: {runner.error}"
            return
        # What was published last is still on its way; a publisher that goes takes it along.
        deadline_s = time.monotonic() + _ACKED_S
        for publisher in self._outputs.values():
            left_s = max(0.0, deadline_s - time.monotonic())
            with contextlib.suppress(Exception):  # of a best effort publisher it cannot be known
                publisher.wait_for_all_acked(Duration(seconds=left_s))
        self._show()
        self._say(self._summary(runner.state()))
        if self.get_parameter("exit_at_end").value:
            self._end()

    def _summary(self, state: PlayerState) -> str:
        parts = [f"played {state.played} messages"]
        if self._withheld:
            parts.append(f"{self._withheld} of them commands that were withheld")
        if displaced := self._opened.timeline.displaced:
            parts.append(f"{displaced} stood too late in the file, and came late")
        if state.stalls:
            parts.append(
                f"the machine was late {state.stalls} times, by {state.stalled_s:.2f} s in all"
            )
        if damage := self._opened.bag.damage:
            parts.append(f"the bag is not whole ({len(damage)} findings above)")
        return "; ".join(parts)

    def _end(self) -> None:
        """The process ends, with status 0."""
        self.context.try_shutdown()

    def _tell_time(self) -> None:
        if self._clock_publisher is not None and self._runner is not None and self._started:
            message = ClockMessage()
            # As the stamps in the messages: where the clock was set, it jumps as it did then.
            fill_stamp(message.clock, max(0, self._runner.position_ns() - self._moved_ns))
            self._clock_publisher.publish(message)

    def _show(self) -> None:
        console, runner = self._console, self._runner
        if console is None or runner is None or (self._over and not console.has_keys):
            return
        note = "" if self._started else "waiting for listeners"
        console.show(status_text(runner.state(), self._trouble or note), time.monotonic())

    def _report(self) -> None:
        runner = self._runner
        if runner is None:
            return
        state = runner.state()
        status = DiagnosticStatus(name="bag_replay", hardware_id=self._opened.bag.name)
        status.level, status.message = DiagnosticStatus.OK, state.state.value
        if self._trouble:
            status.level, status.message = DiagnosticStatus.WARN, self._trouble
        values = {
            "position_s": f"{state.position_s:.3f}",
            "duration_s": f"{state.duration_s:.3f}",
            "rate": f"{state.rate:g}",
            "messages": state.played,
            "rounds": state.loops,
            "stalls": state.stalls,
            "stalled_s": f"{state.stalled_s:.3f}",
            "commands_withheld": self._withheld,
            "damage": len(self._opened.bag.damage),
        }
        for publisher in self._outputs.values():
            values[f"listeners of {publisher.topic_name}"] = publisher.get_subscription_count()
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)

    # --- what is asked of it ------------------------------------------------------------------------

    def _answer(self, act: Callable[[], str], response: Trigger.Response) -> Trigger.Response:
        try:
            response.message, response.success = act(), True
        except PlaybackError as error:
            response.message = str(error)
        return response

    def _ready(self) -> PlayerThread:
        if self._runner is None or not self._started:
            raise PlaybackError(f"it begins {self._delay_s:g} s after its start; ask again then")
        if trouble := self._watch.trouble():
            self._stand(trouble)
            raise PlaybackError(trouble)
        self._trouble = ""
        return self._runner

    def _pause(self) -> str:
        if self._runner is not None:
            self._runner.pause()
        return "paused"

    def _resume(self) -> str:
        self._ready().resume()
        return "playing"

    def _step(self) -> str:
        entry = self._ready().step()
        self._tell_time()
        return f"{entry.topic} at {(entry.time_ns - self._opened.begin_ns) / 1e9:.6f} s"

    def _tick(self) -> str:
        count = self._ready().tick()
        self._tell_time()
        ticks = self._opened.selection.ticks or "any message: this bag has no control ticks"
        return f"{count} messages, up to {ticks}"

    def _restart(self) -> str:
        self._ready().seek(0.0)
        self._over = False
        return "at the start"

    def _on_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        try:
            for parameter in parameters:
                if parameter.name == "rate" and self._runner is not None:
                    self._runner.set_rate(number("rate", parameter.value))
                elif parameter.name in {name for name, _, _ in PARAMETERS}:
                    raise PlaybackError(
                        f"{parameter.name} is read at the start only; rate can be set while it plays"
                    )
        except PlaybackError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _on_key(self, key: Key) -> None:
        """In the console's thread."""
        runner = self._runner
        try:
            if runner is None or key is Key.QUIT:
                self._end()
            elif key is Key.HELP:
                self._say(f"keys: {HELP}")
            elif key is Key.PAUSE:
                playing = runner.state().state is State.PLAYING
                self._pause() if playing else self._resume()
            elif key is Key.STEP:
                self._say(self._step())
            elif key is Key.TICK:
                self._say(self._tick())
            elif key is Key.RESTART:
                self._restart()
            elif key in (Key.BACK, Key.FORWARD):
                self._ready().move(_SEEK_S if key is Key.FORWARD else -_SEEK_S)
            else:
                runner.set_rate(next_rate(runner.state().rate, key is Key.FASTER))
        except PlaybackError as error:
            self._say(str(error))
        except Exception as error:  # the thread of the keys must not die of it unseen
            self._failure = f"key {key.value}: {error}"

    def _say(self, text: str) -> None:
        if self._console is not None:
            self._console.clear()
        self.get_logger().info(text)

    def _warn(self, text: str) -> None:
        if self._console is not None:
            self._console.clear()
        self.get_logger().warning(text)


def _unusable(info: TopicInfo) -> str:
    """Why a topic cannot be published here; '' = it can."""
    try:
        message_class(info)
        evolution(info)
    except PlaybackError as error:
        return str(error)
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Run the node until the end of the bag, or a signal."""
    return run_node(BagReplayNode, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
