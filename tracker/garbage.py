"""Python's garbage collector, for processes that make many objects and few cycles."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def rare_collections(new_objects: int) -> Iterator[None]:
    """Collect only after so many new objects; what is there already, imported modules above all, is not looked at again.

    What events and requests leave behind has hardly any cycles, and looking for some costs a tenth of the time or more.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(new_objects, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
