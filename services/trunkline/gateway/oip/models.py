"""All models by name: heads first, then backbones, then "analyze"."""

from collections.abc import Callable

from trunkline.core.errors import NotFoundError, ServiceUnavailableError
from trunkline.core.exchange import HeadInfo
from trunkline.core.text import listed, shown
from trunkline.gateway.analyzer import Analyzer
from trunkline.gateway.directory import Directory, HeadEntry
from trunkline.gateway.oip.analyze import NAME as ANALYZE
from trunkline.gateway.oip.analyze import AnalyzeModel, Vision
from trunkline.gateway.oip.backbone import BackboneModel
from trunkline.gateway.oip.heads import HeadModel
from trunkline.gateway.oip.model import Model
from trunkline.serving.security.callers import finds, sees


class Models:
    """What the directory knows, as models of the protocol."""

    def __init__(self, directory: Directory, analyzer: Analyzer, vision: Vision) -> None:
        self._directory = directory
        self._analyzer = analyzer
        self._heads: dict[str, tuple[HeadInfo, dict[str, HeadModel]]] = {}  # by name: default version, versions
        self._analyze = AnalyzeModel(directory, vision)

    def resolve(self, name: str, version: str) -> Model:
        """The model that answers; a canary gets its share of the requests that name no version.

        Raises NotFoundError, ServiceUnavailableError where that is not known yet.
        """
        return self._model(self._directory.resolve, name, version)

    def find(self, name: str, version: str) -> Model:
        """The model that is meant; the default version where none is named. Raises as resolve() does."""
        return self._model(self._directory.find, name, version)

    def all(self) -> list[Model]:
        """Every version of every model, in order of name and version."""
        found: list[Model] = []
        for info in self._directory.heads():
            for version in _versions(info):
                found.append(self.find(info.name, version))
        taken = {info.name for info in self._directory.heads()}
        others = [model for model in self._others() if model.description.name not in taken and _is_seen(model)]
        return sorted([*found, *others], key=lambda model: (model.description.name, _number(model)))

    def _model(self, look_up: Callable[[str], HeadEntry], name: str, version: str) -> Model:
        try:
            return self._head(look_up(f"{name}/{version}" if version else name))
        except (NotFoundError, ServiceUnavailableError):
            other = self._other(name, version)
            if other is None:
                raise
            return other

    def _head(self, entry: HeadEntry) -> HeadModel:
        """The same one for as long as the directory says the same of it."""
        info = entry.info
        default = self._directory.find(info.name).info
        kept_default, kept = self._heads.get(info.name, (None, {}))
        if kept_default is not default:
            kept = {}
            self._heads[info.name] = default, kept
        model = kept.get(info.version)
        if model is None or model.entry != entry:
            model = HeadModel(entry, _versions(default), self._directory, self._analyzer)
            kept[info.version] = model
        return model

    def _others(self) -> list[Model]:
        """Every version of every backbone, the newest of a name first, and "analyze"."""
        backbones = self._directory.backbones()
        versions: dict[str, list[str]] = {}
        for entry in backbones:
            versions.setdefault(entry.info.name, []).append(entry.info.version)
        found: list[Model] = [
            BackboneModel(entry, tuple(versions[entry.info.name]), self._directory) for entry in reversed(backbones)
        ]
        return [*found, self._analyze]

    def _other(self, name: str, version: str) -> Model | None:
        """A backbone, the newest version where none is named, or "analyze"; only where no head has that name.

        Raises NotFoundError for a version.
        """
        if name in self._directory.answering() or not (name == ANALYZE or finds(name)):
            return None
        named = [each for each in self._others() if each.description.name == name]
        model = next((each for each in named if version in ("", each.description.version)), None)
        if named and model is None:
            served = listed(each.description.version for each in reversed(named))
            raise NotFoundError(f"model {name!r} serves no version {shown(version)!r}; served: {served}", model=name)
        return model


def _is_seen(model: Model) -> bool:
    """What "analyze" asks has checks of its own."""
    return model.description.name == ANALYZE or sees(model.description.name)


def _versions(info: HeadInfo) -> tuple[str, ...]:
    return tuple(sorted({info.version, *(other.version for other in info.routes.others)}, key=int))


def _number(model: Model) -> int:
    return int(model.description.version)
