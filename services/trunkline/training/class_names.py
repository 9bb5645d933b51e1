"""Classes of a head by the names that the data has for them, such as `person` by `pedestrian`."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from trunkline.core.errors import InvalidRequestError
from trunkline.core.results import Result
from trunkline.core.tasks import known, task_of, task_of_result
from trunkline.core.text import LONGEST_ECHO, shown


class ClassNames:
    """The classes of a head, some of them renamed; several may get one name, which makes them one class.

    classes: those that answers are compared by, in the order of the head's.
    """

    def __init__(self, head: str, task: str, labels: Sequence[str], names: Mapping[str, str]) -> None:
        """names: by class of the head. Raises InvalidRequestError for a class that the head does not have.

        Where an answer is a share for each class, no two can have one name.
        """
        for name in names:
            if name not in labels:
                like = get_close_matches(name[:LONGEST_ECHO], labels, 1)
                hint = f"; did you mean {like[0]!r}?" if like else ""
                raise InvalidRequestError(f"head {head!r} has no class {shown(name)!r}{hint}")
        renamed = [names.get(label, label) for label in labels]
        self.classes = tuple(dict.fromkeys(renamed))
        if len(self.classes) < len(renamed) and not task_of(task).merges_classes:
            able = " or ".join(name for name, each in known().by_name.items() if each.merges_classes)
            raise InvalidRequestError(
                f"two classes of head {head!r} would have one name: only classes of {able} can be made one"
            )
        place = {name: index for index, name in enumerate(self.classes)}
        self._places = [place[name] for name in renamed]

    def told(self, results: Sequence[Result]) -> list[Result]:
        """The answers of the head with the classes of this: objects alone say which of them they mean."""
        labels = [(index, self.classes[index]) for index in self._places]
        return [task_of_result(each).renamed(each, labels) for each in results]
