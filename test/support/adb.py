# SPDX-License-Identifier: Apache-2.0
"""A program in adb's place that keeps devices and rules as the real one does."""

from __future__ import annotations

from pathlib import Path

QUEST = "2G0YC1ZF8B0KKX"


class Adb:
    """A folder with an ``adb`` whose devices and rules are files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "adb"
        self.plug(f"{QUEST}\tdevice")
        self.path.write_text(
            f"""#!/bin/sh
cd '{folder}'
echo "$@" >> calls
[ -f hanging ] && {{ echo $$ > hangs; exec sleep 600; }}
[ "$1" = -s ] && shift 2
case "$*" in
devices) echo "List of devices attached"; cat devices; echo ;;
"reverse --list") [ -f rules ] && sed 's/^/UsbFfs /' rules; exit 0 ;;
"reverse --remove "*) rm -f rules ;;
"reverse "*) [ -f stuck ] && {{ echo "error: closed" >&2; exit 1; }}; echo "$2 $3" >> rules ;;
shell) [ -f closed ] && {{ echo "error: closed" >&2; exit 1; }}; cat >> typed ;;
*) exit 1 ;;
esac
""",
            encoding="utf-8",
        )
        self.path.chmod(0o755)

    def plug(self, *devices: str) -> None:
        (self.folder / "devices").write_text("".join(f"{line}\n" for line in devices))

    def rules(self) -> list[str]:
        rules = self.folder / "rules"
        return rules.read_text().splitlines() if rules.exists() else []

    def forget(self) -> None:
        """What happens when the headset sleeps."""
        (self.folder / "rules").unlink()
