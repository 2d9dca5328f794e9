"""What is going on, on standard error: a bar on a terminal, a line a step elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

STEP: Final = 500
"""A bar is moved once in so many."""


class Progress:
    """Tells one step after the other."""

    def __init__(self, console: Console) -> None:
        """console: on standard error."""
        self._console = console

    @contextmanager
    def task(self, description: str, total: int | None = None) -> Iterator[Callable[[], None]]:
        """A step, of ``total`` parts where they can be told; what it yields is called after each part."""
        if not self._console.is_terminal:
            self._console.print(description)
            yield lambda: None
            return
        counted = [MofNCompleteColumn()] if total is not None else []
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), *counted, TimeElapsedColumn())
        with RichProgress(*columns, console=self._console, transient=True) as bar:
            task = bar.add_task(description, total=total)
            done = 0

            def advance() -> None:
                nonlocal done
                done += 1
                if done % STEP == 0:
                    bar.update(task, completed=done)

            yield advance
