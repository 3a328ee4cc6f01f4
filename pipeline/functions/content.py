"""The content of values that are numbers, text, arrays, or containers of these, as text."""

import hashlib
from typing import Any

import numpy as np

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...), range)


class Content:
    """What numbers, texts, arrays, and containers of these are, as text."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, name: str, value: Any) -> bool:
        """Add a value; returns False for one that is of another kind."""
        if type(value) in _PLAIN:
            self.texts.append(f"{name} = {value!r}")
        elif isinstance(value, np.ma.MaskedArray):
            return self.add(f"{name}.data", value.data) and self.add(
                f"{name}.mask", np.ma.getmaskarray(value)
            )
        elif isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
            content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
            self.texts.append(f"{name} = array {value.dtype.descr} {value.shape} {content}")
        elif type(value) in (list, tuple):
            self.texts.append(f"{name} = {type(value).__name__} of {len(value)}")
            return all(self.add(f"{name}[{k}]", each) for k, each in enumerate(value))
        elif type(value) is dict:
            self.texts.append(f"{name} = dict of {len(value)}")
            return all(
                self.add(f"key {k} of {name}", key) and self.add(f"{name}[{k}]", each)
                for k, (key, each) in enumerate(value.items())
            )
        elif type(value) in (set, frozenset):
            # In no order: each by its own text.
            parts = []
            for each in value:
                part = Content()
                if not part.add("", each):
                    return False
                parts.append("; ".join(part.texts))
            self.texts.append(f"{name} = {type(value).__name__} of {sorted(parts)}")
        else:
            return False
        return True
