"""A preflight's report as text for a terminal."""

from aam.loops.preflight import Report

_INDENT = "  "


def preflight_text(report: Report) -> str:
    """Titles with aligned rows below them, then what might be set otherwise."""
    width = max(len(name) for _, rows in report.sections for name, _ in rows)
    lines: list[str] = []
    for title, rows in report.sections:
        lines += [title, *(f"{_INDENT}{name.ljust(width)}  {said}" for name, said in rows), ""]
    if not report.advice:
        return "\n".join([*lines, "Nothing that should be set otherwise was seen."])
    lines.append("Consider")
    width = max(len(one.override) for one in report.advice)
    lines += [f"{_INDENT}{one.override.ljust(width)}  {one.why}" for one in report.advice]
    return "\n".join(lines)
