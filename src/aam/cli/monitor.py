"""``aam-monitor``: a page that shows runs live. Imports nothing until it has read the arguments."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aam.cli.command import run_command

if TYPE_CHECKING:
    from aam.cli.words import Words
    from aam.monitoring.live.address import Address

HELP = """\
aam-monitor: show runs in a browser while they go on, and after they have ended.

  aam-monitor [FOLDER] [KEY=VALUE …]

Reads
  FOLDER              a folder with runs, or one run (default: $AAM_OUTPUTS, or outputs)

Keys
  port=PORT           0 for any that is free (default: 8585, or the next that is free)
  host=HOST           address of this machine that is served (default: 127.0.0.1, which no other
                      machine can reach)
  open=auto           true or false: open a browser (default: where there is a screen)
  idle_minutes=N      end when no page was open and no run went on for so long (default: never)

The address has a token in it: whoever knows that sees the runs, and can ask them to stop. A request
to stop is all that is written. docs/monitor.md tells how to watch from another machine.

Exit codes
  0 ended by Ctrl-C, a signal or the page   1 failed   2 the input is wrong"""
KEYS = {"port": "PORT", "host": "HOST", "open": "auto|true|false", "idle_minutes": "N"}
_MAX_PORT = 65_535


def main() -> int:
    """Run the command line; returns its exit code."""
    return run_command(HELP, _do)


def _do(arguments: Sequence[str]) -> None:
    from aam.cli.printing import show
    from aam.cli.words import read_words
    from aam.monitoring.live.address import LOCAL, check_installed, has_display, take_address

    words = read_words(
        "", arguments, program="aam-monitor", named="FOLDER", keys=KEYS, has_json=False
    )
    folder = _folder(words)
    port = _number(words, "port", _MAX_PORT)
    idle_minutes = _number(words, "idle_minutes")
    opened = words.choice("open", ("auto", "true", "false"), "auto")
    check_installed()
    address = take_address(words.values.get("host", LOCAL), None if port is None else int(port))
    show(_announcement(folder, address))
    if opened == "true" or (opened == "auto" and has_display()):
        import webbrowser

        webbrowser.open(address.url)
    from aam.monitoring.live.server import serve

    serve(folder, address, idle_s=None if idle_minutes is None else 60 * idle_minutes)


def _folder(words: "Words") -> Path:
    from aam.errors import UserError
    from aam.facts.folders import outputs_folder

    if len(words.named) > 1:
        raise UserError(
            f"aam-monitor takes one FOLDER, not {len(words.named)}: give one that holds them all"
        )
    folder = Path(words.named[0]).expanduser() if words.named else outputs_folder()
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder: give one that holds runs, or will")
    return folder


def _number(words: "Words", key: str, highest: float = float("inf")) -> float | None:
    """The value of a key as a number, a whole one if there is a highest; None without the key."""
    from aam.errors import UserError

    if key not in words.values:
        return None
    text = words.values[key]
    try:
        value = float(text) if highest == float("inf") else int(text)
    except ValueError:
        value = -1
    if not 0 <= value <= highest:
        most = "" if highest == float("inf") else f" to {highest:g}"
        raise UserError(f"{key}={text} cannot be: give a number from 0{most}")
    return value


def _announcement(folder: Path, address: "Address") -> str:
    from aam.monitoring.live.address import LOCAL, tunnel

    lines = [f"Live page of {folder}:", f"  {address.url}"]
    if address.host == LOCAL:
        lines += [
            "From another computer, open the same address there while this runs on it:",
            f"  {tunnel(address.url)}",
        ]
    else:
        lines.append(
            f"host={address.host} lets other machines in, and nothing is encrypted: whoever reads "
            "along on the network can read the token."
        )
    return "\n".join([*lines, "Ctrl-C ends it; the runs go on."])


if __name__ == "__main__":
    sys.exit(main())
