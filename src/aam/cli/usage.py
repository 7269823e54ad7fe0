"""What ``aam-train --help`` says. Made from the config files and dataclasses, without Hydra."""

from aam import __version__
from aam.composing.config_files import default_choices, groups, settings, summary
from aam.composing.keys import known_keys
from aam.config.changes import CHANGEABLE

_HEAD = f"""\
aam-train {__version__}: train deep models on microbiome amplicon data; every epoch is a fact.

  aam-train                                     pretrain the tiny model on demo data
  aam-train GROUP=CHOICE … KEY=VALUE …          choose and set what is listed below
  aam-train data=biom data.table=T data.tree=N  pretrain on your own table and tree
  aam-train resume=RUN [KEY=VALUE …]            go on with a run: its folder, name, or latest
  aam-train … hydra.run.dir=D resume=auto       start in folder D, or go on with the run in it
  aam-train --multirun KEY=A,B …                one run for each combination of values
  aam-train --multirun hydra/sweeper=optuna KEY='interval(A,B)' …   search between two values
  torchrun --nproc-per-node=N -m aam.cli.train …   one run by N processes
  aam-train … --cfg job                         show the configuration, train nothing
  aam-train … --info defaults                   show where it comes from (also: config, plugins)
  aam-train --help | --version | --hydra-help

Each run writes a folder of its own under $AAM_OUTPUTS (default: outputs)."""
_FOOT = """\
Exit codes
  0 done   1 failed   2 the input or a setting is wrong   85 stopped, and resume=RUN goes on
  130 interrupted before there was anything to resume

Environment
  AAM_OUTPUTS          where runs are written (default: outputs)
  AAM_CACHE            where demo data are kept (default: ~/.cache/aam)
  HYDRA_FULL_ERROR=1   show the traceback of an error"""


def help_text() -> str:
    """The whole help."""
    return "\n\n".join([_HEAD, _groups_text(), _keys_text(), _FOOT])


def _groups_text() -> str:
    lines = ["Groups and their choices (* is the default)"]
    known, defaults = groups(), default_choices()
    for group in defaults:
        for choice in known[group]:
            mark = "*" if choice == defaults[group] else " "
            lines.append(f"  {mark} {group}={choice}".ljust(30) + f"  {summary(group, choice)}")
    return "\n".join(line.rstrip() for line in lines)


def _keys_text() -> str:
    lines = ["Keys: default (type); a choice of a group may set another default"]
    defaults = default_choices()
    for key in known_keys():
        if key.name in defaults:  # optimizer and scheduler: what they take depends on the choice
            choice = defaults[key.name]
            lines += [
                f"  {key.name}.{line.replace(': ', '=', 1)}  (with {key.name}={choice})"
                for line in settings(key.name, choice)
            ]
        else:
            lines.append(f"  {key.name}={key.default}  ({key.type})")
    lines.append("  resume=RUN  may be followed by " + ", ".join(CHANGEABLE))
    return "\n".join(lines)
