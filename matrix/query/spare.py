"""pandas is spared: pyarrow imports it at its first conversion, wherever it is installed, half a second for nothing."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable


class _NoPandas(importlib.abc.MetaPathFinder):
    """Lets nobody find pandas."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("nothing here needs pandas", name=fullname)


def spare_pandas() -> Callable[[], None]:
    """Hide pandas in this process until what is returned is called: not where code of others runs.

    It is for processes that are Matrix's own. pyarrow looks again when somebody asks it for a DataFrame.
    """
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    return lambda: sys.meta_path.remove(finder)
