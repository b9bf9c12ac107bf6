"""`doctor`, `gc`, `metrics`, `demo`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from agentsync.cli.context import Context


def add(add_parser: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add the commands to the grammar."""
    gc = add_parser("gc", "compact the log and tidy up after those who are gone", "gc\ngc --json")
    gc.set_defaults(run=_gc)
    doctor = add_parser(
        "doctor", "check that everything works, and say how to mend what does not", "doctor\ndoctor --json"
    )
    doctor.set_defaults(run=_doctor)
    metrics = add_parser(
        "metrics",
        "print numbers for Prometheus, or write them for its textfile collector",
        "metrics\nmetrics --output /var/lib/node_exporter/agentsync.prom\nmetrics --json",
    )
    metrics.add_argument("--output", metavar="FILE", help="replace this file in one step, instead of printing")
    metrics.set_defaults(run=_metrics)
    demo = add_parser("demo", "show three agents at work in a repository of their own", "demo\ndemo --json")
    demo.set_defaults(run=_demo)


def _gc(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops import care

    with context.working("tidying up"):
        done = care.gc(context.session)
    if context.json:
        context.data({"kind": "compaction", **{name: getattr(done, name) for name in done.__struct_fields__}})
    else:
        context.say(
            f"revision {done.revision}: {done.archived} events archived, {done.departed} records of the departed "
            f"dropped, {done.orphans} left-over files and {done.forgotten} old archives removed"
        )
    return 0


def _doctor(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.ops.doctor import examine
    from agentsync.render.frame import escape

    with context.working("examining records, log and hooks"):
        findings = examine(context.session)
    context.session.store.warnings.clear()  # they are among the findings
    healthy = all(finding.level != "problem" for finding in findings)
    if context.json:
        context.data({"kind": "diagnosis", "healthy": healthy, "findings": findings})
        return 0 if healthy else 1
    lines = []
    for finding in findings:  # which name files, and quote what hooks said: anybody's words
        lines.append(f"{finding.level:8}{finding.check}: {escape(finding.message, 1000)}")
        lines += [f"{'':8}  fix: {escape(finding.fix, 1000)}"] if finding.fix else []
    context.board(lines)
    context.say("all is well" if healthy else "there are problems")
    return 0 if healthy else 1


def _metrics(context: Context, options: argparse.Namespace) -> int:
    from agentsync.ops import metrics, user_files
    from agentsync.render.metrics import exposition

    found = metrics.measure(context.session)
    if options.output is not None:
        path = user_files.replace(context.runtime, options.output, exposition(found).encode())
        if not context.json:
            return 0  # a job that is run by the minute has nothing to say when all went well
        context.data({"kind": "metrics", "output": path, "families": found})
    elif context.json:
        context.data({"kind": "metrics", "families": found})
    else:
        context.say(exposition(found).rstrip("\n"))
    return 0


def _demo(context: Context, _options: argparse.Namespace) -> int:
    from agentsync.cli.demo import run

    return run(context)
