"""``aam-facts``: read what runs have recorded. Imports nothing until it has read the arguments."""

import io
import os
import sys

# Verb → module and function, and what it does. The function gets the words after the verb; its
# module has the verb's whole help as ``HELP``.
VERBS = {
    "ls": ("aam.cli.facts_ls", "ls", "list runs: state, epochs, best metric, time"),
    "show": ("aam.cli.facts_show", "show", "tell all of one run on one screen"),
    "tail": ("aam.cli.facts_tail", "tail", "follow a run in the terminal"),
    "compare": ("aam.cli.facts_compare", "compare", "rank runs by what they differ in"),
    "best": ("aam.cli.facts_best", "best", "name the best run of a sweep"),
    "cv": ("aam.cli.facts_cv", "cross_validate", "join the folds of a cross-validation"),
    "plot": ("aam.cli.facts_plot", "plot", "draw the figures of a run anew"),
    "export": ("aam.cli.facts_export", "export", "write the numbers of runs as one table"),
    "doctor": ("aam.cli.facts_doctor", "doctor", "check whether runs are whole"),
    "reproduce": ("aam.cli.facts_reproduce", "reproduce", "say how to run it again"),
}
_HEAD = """\
aam-facts: read the facts of runs; nothing is trained, and no fact is changed.

A run is given by its folder, its name below the folder of all runs, a part of that name that no
other run has, or latest. Runs lie in $AAM_OUTPUTS (default: outputs).

"""
_FOOT = """

  aam-facts VERB --help   says more of one of them

Exit codes
  0 done   1 failed   2 the input is wrong"""


def main() -> int:
    """Run the command line; returns its exit code."""
    arguments = sys.argv[1:]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a sign that the terminal does not know
    from aam.cli.printing import show

    verb = arguments[0] if arguments else "--help"
    if verb in ("--help", "-h"):
        lines = [f"  aam-facts {name} …".ljust(26) + VERBS[name][2] for name in VERBS]
        show(_HEAD + "\n".join(lines) + _FOOT)
        return 0
    from importlib import import_module

    if verb in VERBS and {"--help", "-h"} & set(arguments[1:]):
        show(import_module(VERBS[verb][0]).HELP)
        return 0
    from aam.cli.logs import console
    from aam.cli.outcome import attempt

    with console(tracebacks=os.environ.get("HYDRA_FULL_ERROR") == "1"):
        codes: list[int] = []
        return attempt(lambda: codes.append(_do(verb, arguments[1:])), arguments) or codes[0]


def _do(verb: str, words: list[str]) -> int:
    """Do it; a verb that has nothing to say by its exit code returns none."""
    from difflib import get_close_matches
    from importlib import import_module

    from aam.errors import UserError

    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"there is no aam-facts {verb}: there is {', '.join(VERBS)}{hint}")
    module, function, _ = VERBS[verb]
    return getattr(import_module(module), function)(words) or 0


if __name__ == "__main__":
    sys.exit(main())
