"""What verbs print: tables on a terminal, plain lines elsewhere."""

from collections.abc import Iterable, Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from hpsearch.cli.ending import say


def show_items(items: Mapping[str, object]) -> None:
    """Names and values, one line each."""
    console = _console()
    if not console.is_terminal:
        for name, value in items.items():
            say(f"{name}: {value}")
        return
    grid = Table.grid("", "", padding=(0, 2))
    for name, value in items.items():
        grid.add_row(name, str(value))
    _say(console, grid)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table with its columns' names above it."""
    console = _console()
    cells = [[str(cell) for cell in row] for row in rows]
    if console.is_terminal:
        table = Table(*columns, box=SIMPLE_HEAD)
        for row in cells:
            table.add_row(*row)
        _say(console, table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in [list(columns), *cells]:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_warnings(sentences: Iterable[str]) -> None:
    """Sentences a user should read, on standard error."""
    for sentence in sentences:
        say(f"warning: {sentence}", err=True)


def _say(console: Console, table: Table) -> None:
    # the console itself would take a closed pipe for a reason to exit
    with console.capture() as captured:
        console.print(table)
    say(captured.get().removesuffix("\n"))


def _console() -> Console:
    # values are shown as they are: "[64]" is a list, not markup
    return Console(markup=False, highlight=False, emoji=False)
