"""The chart of `stats`: every day of the period has a point, also those without changes."""

from datetime import date

from infra.operate.stats import Day, Stats, plot

MONDAY = date(2026, 11, 23)


def test_chart_has_a_point_per_day_and_sums_pass_types() -> None:
    changes = [Day(date(2026, 11, 25), kind, "t", added=50, removed=0, updated=7) for kind in ("pass.a", "pass.b")]
    chart = plot(Stats(MONDAY, date(2026, 11, 27), (), changes))
    added, removed, updated = (
        line.split('"')[1].split() for line in chart.splitlines() if line.startswith("<polyline")
    )
    assert (len(added), len(removed), len(updated)) == (5, 5, 5)
    heights = [float(point.split(",")[1]) for point in added]
    assert heights.index(min(heights)) == 2
    assert heights.count(max(heights)) == 4
    assert ">100<" in chart
