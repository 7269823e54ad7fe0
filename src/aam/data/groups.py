"""Metadata columns that say which samples belong together: to a subject, a household, a study."""

import re
from collections import Counter
from collections.abc import Collection

from aam.data.metadata import Column
from aam.data.study import Study


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What gives several samples, at the end of a column's name or before a word for "name".
_HAVE_SAMPLES = _set(
    "subject host patient person individual participant volunteer donor recipient animal mouse rat "
    "pig cow monkey cage tank pen herd flock family household couple study cohort run"
)
_NAMES = _set("id identifier name no nr number code key label accession")
# Beside those, these make a count, a time, a role or a question: num_host, day_of_study, is_donor.
_ABOUT = _set("or and is was has have had of in at per with not n num count total same other")
_ANSWERS = _set("yes no true false unknown na")  # to such a question
_TIMES = _set("date time timestamp datetime day month year")
LEAST_MANY, LEAST_SHARE, LEAST_MEAN_SIZE = 10, 1 / 20, 2.0  # of ids that nothing else tells


def group_like_columns(study: Study, exclude: Collection[str] = ()) -> list[str]:
    """Columns whose values look like ids of what gives several samples, in the metadata's order.

    A column is named if it holds text or whole numbers, has two values at least, one of them in
    several samples, and either a telling name (``subject``, ``hostSubjectID``, ``cage_no``) or many
    categories: more than 10, more than a twentieth of the samples, each in two samples on average.
    ``exclude`` holds names that are no candidates, such as the target's.
    """
    columns = {} if study.metadata is None else study.metadata.columns
    return [
        name for name, column in columns.items() if name not in exclude and _looks_grouped(column)
    ]


def _looks_grouped(column: Column) -> bool:
    known = [value for value in column.values if value is not None]
    sizes = Counter(known)
    if len(sizes) < 2 or len(sizes) == len(known) or {v.lower() for v in sizes} <= _ANSWERS:
        return False
    if column.kind == "numeric" and any(not float(value).is_integer() for value in sizes):
        return False
    words = _words(column.name)
    if _is_telling(words):
        return True
    many = max(LEAST_MANY, LEAST_SHARE * len(column.values))
    return (
        column.kind == "categorical"
        and len(sizes) > many
        and len(known) >= LEAST_MEAN_SIZE * len(sizes)
        and _TIMES.isdisjoint(words)
    )


def _is_telling(words: list[str]) -> bool:
    while words and words[-1] in _NAMES:
        words = words[:-1]
    return bool(words) and words[-1] in _HAVE_SAMPLES and _ABOUT.isdisjoint(words)


def _words(name: str) -> list[str]:
    """``host_subject_id``, ``HostSubjectID`` and ``host subjectid`` → host, subject, id."""
    words = []
    for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name):
        stem = word.lower().removesuffix("id")
        words += [stem, "id"] if stem in _HAVE_SAMPLES else [word.lower()]
    return words
