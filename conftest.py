"""How notebook outputs are compared, and where the time of a test run went."""

from collections import Counter

# The raw floats of a figure differ in their last digits between machines. Its title and alt text, which stand
# in text/plain, are compared.
NOT_COMPARED = ("application/vnd.plotly.v1+json",)


def pytest_collection_modifyitems(items):
    for notebook in {item.parent for item in items if hasattr(item.parent, "skip_compare")}:
        notebook.skip_compare += NOT_COMPARED


def pytest_terminal_summary(terminalreporter):
    seconds, tests = Counter(), Counter()
    for outcome in ("passed", "failed", "skipped", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            seconds[report.fspath] += getattr(report, "duration", 0)  # a collection error has none
            tests[report.fspath] += 1
    if seconds:
        terminalreporter.section("seconds, by file")
        for path, total in sorted(seconds.items()):
            terminalreporter.write_line(f"{total:8.1f}  {path} ({tests[path]})")
