"""Writes the report of a soak as lines of text."""

from collections import Counter

from tests.soak.run import Report


def report_lines(report: Report) -> list[str]:
    """Return the lines of a report."""
    phones, plan = report.phones, report.plan
    calls = f"{phones['failed']} failed, {phones['refused']} refused with 429, {phones['gave_up']} calls given up"
    return [
        "",
        f"seed {plan.seed}, {plan.seconds:g} s, plan {plan.digest}",
        f"steps: {sum(report.load[kind] for kind in report.load if ':' not in kind)}",
        *_table(report.load),
        f"requests of phones: {phones['requests']} ({calls})",
        f"passes on phones at the end: {report.registered}",
        f"faults switched on: {sum(plan.counts.values())}",
        *_table(plan.counts),
        f"faults of AWS that happened: {sum(report.injected.values())}",
        *_table(report.injected),
        f"changes on phones: {sum(report.changes.values())}",
        *_table(report.changes),
        f"pushes that arrived at phones: {report.pushes}",
        f"  {report.extra_pushes:6} beyond the changes of its passes",
        f"pushes after all items were written again without a change: {len(report.unchanged)}",
        f"  {len(report.late):6} later pushes of earlier changes",
        *[f"    {push}" for push in report.late[:20]],
        f"messages left: {', '.join(f'{name} {count}' for name, count in report.queues.items())}",
        f"settled {report.settle_seconds:.0f} s after the load",
        *[f"PROBLEM: {problem}" for problem in report.problems[:20]],
        *[f"UNCHANGED: {push}" for push in report.unchanged[:20]],
        *[f"LOST: {lost}" for lost in report.lost[:20]],
        f"{'PASSED' if report.passed else 'FAILED'}: {report.changes['LOST']} lost",
    ]


def _table(counts: Counter[str]) -> list[str]:
    return [f"  {count:6} {name}" for name, count in counts.most_common() if count]
