"""YAML as lists, mappings and texts: nothing is converted, nothing refers to anything else."""

from pathlib import Path
from typing import Any, Final

import yaml

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.reading import LARGEST_YAML
from trunkline.training.data.remarks import Remarks
from trunkline.training.data.texts import read_text

_DEEPEST: Final = 32
# In C where it was built so; it takes the same texts.
_Loader: Final = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read_yaml(path: Path, remarks: Remarks) -> Any:
    """What the file holds, every value a text. Raises DataInvalidError with the line, never with what stands there.

    Aliases are refused: a few lines of them unfold to gigabytes. So are values within more than 32 others.
    """
    text = read_text(path, path.name, remarks, LARGEST_YAML)
    try:
        _require_plain(path, text)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DataInvalidError.at(path, "not YAML", mark.line + 1 if mark is not None else None) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataInvalidError.at(path, "not YAML") from error


def _require_plain(path: Path, text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise DataInvalidError.at(path, "it has an alias (*NAME), which is not read here", line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise DataInvalidError.at(path, "it is nested too deep", line)
