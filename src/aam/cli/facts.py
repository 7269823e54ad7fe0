"""``aam-facts``: read what runs have recorded. Imports nothing until it has read the arguments."""

import os
import sys

# Verb → module and function, and what it does. The function gets the words after the verb; its
# module has the verb's whole help as ``HELP``.
VERBS = {
    "cv": ("aam.cli.facts_cv", "cross_validate", "join the folds of a cross-validation"),
}
_HEAD = """\
aam-facts: read the facts of runs; nothing is trained, no run is changed.

"""
_FOOT = """

  aam-facts VERB --help   says more of one of them

Exit codes
  0 done   1 failed   2 the input is wrong"""


def main() -> int:
    """Run the command line; returns its exit code."""
    arguments = sys.argv[1:]
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
        return attempt(lambda: _do(verb, arguments[1:]), arguments)


def _do(verb: str, words: list[str]) -> None:
    from difflib import get_close_matches
    from importlib import import_module

    from aam.errors import UserError

    if verb not in VERBS:
        near = get_close_matches(verb, VERBS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"there is no aam-facts {verb}: there is {', '.join(VERBS)}{hint}")
    module, function, _ = VERBS[verb]
    getattr(import_module(module), function)(words)


if __name__ == "__main__":
    sys.exit(main())
