"""The catalog of a model folder: lists, promotions, canaries and aliases. Blocks on files, so not for event loops."""

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from trunkline.catalog.gate import check_gate, check_margin
from trunkline.core.bundle import NAME_PATTERN, Bundle, HeadManifest, variant_bundle
from trunkline.core.catalog import current_catalog
from trunkline.core.errors import (
    GateFailedError,
    InvalidRequestError,
    ModelInvalidError,
    NotFoundError,
    WrongTaskError,
)
from trunkline.core.models import DEFAULT_MARGIN, Canary, HeadCatalog, Model, ModelVersion
from trunkline.core.repository import Repository
from trunkline.core.store import ChangeCatalog, FolderStore
from trunkline.core.text import listed
from trunkline.serving.reads import Reads

_PATIENCE_S = 2.0  # for each head of a list


class Catalog:
    """Every method raises NotFoundError for a head or version that is not there.

    Those that change something return the head after it; they raise ModelInvalidError where the state or the version
    is damaged, and StorageError where the folder cannot be written.
    """

    def __init__(self, models: Path, change: ChangeCatalog | None = None) -> None:
        """change: that of a store whose folder `models` is; of the folder itself where none is given.

        Raises ConfigurationError where there is no such folder.
        """
        self._repository = Repository(models)
        self._reads: Reads[Model | None] = Reads("its folder")
        self._change_catalog = change or FolderStore(models).change_catalog

    def models(self) -> list[Model]:
        """All heads, in order of name; what is broken, or does not answer, has its fault."""
        found = [self._listed(name) for name in self._repository.folders("head")]
        return [model for model in found if model is not None]

    def model(self, name: str) -> Model:
        versions = tuple(self._repository.versions("head", name))
        try:
            catalog = current_catalog(self._repository.root, name)
        except ModelInvalidError as error:
            return Model(name, "", versions, None, error.message)
        return Model(name, self._task(name, catalog.default), versions, catalog)

    def versions(self, name: str) -> list[ModelVersion]:
        """The lowest first; what is broken has its fault."""
        return [self._version(name, version) for version in self.model(name).versions]

    def version(self, name: str, version: int | None = None) -> tuple[ModelVersion, str]:
        """A version, the default one where none is named, and its card ("" for none). Raises ModelInvalidError."""
        number = current_catalog(self._repository.root, name).default if version is None else version
        bundle = self._repository.head(name, number)
        return _facts(bundle), bundle.card

    def promote(self, name: str, version: int, *, margin: float | None = None, force: bool = False) -> Model:
        """Make a version the default, DEFAULT_MARGIN where none is given.

        Raises GateFailedError, WrongTaskError for another task than the default's, InvalidRequestError.
        """
        return self.change(name, self.promotion(name, version, margin=margin, force=force))

    def promotion(
        self, name: str, version: int, *, margin: float | None = None, force: bool = False
    ) -> Callable[[HeadCatalog], HeadCatalog]:
        """How a promotion changes the state of a head; raises as `promote` does, here or when it is called."""
        allowed = DEFAULT_MARGIN if margin is None else margin
        check_margin(allowed)

        def change(state: HeadCatalog) -> HeadCatalog:
            candidate = self._whole(name, version)
            if version == state.default:
                return state
            incumbent = self._incumbent(name, state.default, force)
            if incumbent is not None:
                _check_task(candidate, incumbent)
                if not force:
                    self._require_backbone(candidate, incumbent)
                    check_gate(candidate, incumbent, allowed)
            return state.promoted(version)

        return change

    def rollback(self, name: str) -> Model:
        """Make the default before this one the default again; earlier ones that are gone are passed over.

        Raises NotFoundError where there is none.
        """

        def change(state: HeadCatalog) -> HeadCatalog:
            usable = set(self._repository.versions("head", name)) - {state.default}
            history = list(state.history)
            while history and history[-1] not in usable:
                history.pop()
            if not history:
                raise NotFoundError(f"head {name!r} has no earlier default to go back to", name=name)
            before = history.pop()
            self._whole(name, before)
            return state.promoted(before).model_copy(update={"history": tuple(history)})

        return self.change(name, change)

    def set_canary(self, name: str, version: int, share: float) -> Model:
        """Give a version a share of the calls that name none; 0 removes the canary, whatever the version.

        Raises WrongTaskError for another task than the default's, InvalidRequestError.
        """
        if not (math.isfinite(share) and 0 <= share <= 1):
            raise InvalidRequestError(f"share is {share}; it must be between 0 and 1", share=share)

        def change(state: HeadCatalog) -> HeadCatalog:
            if share == 0:
                return state.model_copy(update={"canary": None})
            if version == state.default:
                raise InvalidRequestError(f"version {version} of {name!r} is the default: it already gets all calls")
            self._check_companion(name, version, state.default)
            return state.model_copy(update={"canary": Canary(version=version, share=share)})

        return self.change(name, change)

    def set_alias(self, name: str, alias: str, version: int) -> Model:
        """Let NAME@ALIAS be answered by a version. Raises WrongTaskError, InvalidRequestError for the alias."""
        if not re.fullmatch(NAME_PATTERN, alias):
            raise InvalidRequestError(
                f"{alias!r} is no alias: use lower case letters, digits, dots, dashes", alias=alias
            )

        def change(state: HeadCatalog) -> HeadCatalog:
            self._check_companion(name, version, state.default)
            return state.model_copy(update={"aliases": {**state.aliases, alias: version}})

        return self.change(name, change)

    def delete_alias(self, name: str, alias: str) -> Model:
        """Raises NotFoundError where there is no such alias."""

        def change(state: HeadCatalog) -> HeadCatalog:
            if alias not in state.aliases:
                known = listed(sorted(state.aliases))
                raise NotFoundError(f"head {name!r} has no alias {alias!r}; aliases: {known}", name=name, alias=alias)
            aliases = {key: version for key, version in state.aliases.items() if key != alias}
            return state.model_copy(update={"aliases": aliases})

        return self.change(name, change)

    def change(self, name: str, change: Callable[[HeadCatalog], HeadCatalog]) -> Model:
        """Change the state of a head, alone and whole. What `change` raises leaves it as it was."""
        state = self._change_catalog(name, change)
        versions = tuple(self._repository.versions("head", name))
        return Model(name, self._task(name, state.default), versions, state)

    def _listed(self, name: str) -> Model | None:
        try:
            return self._reads.take(name, partial(self._model_if_there, name), _PATIENCE_S)
        except TimeoutError as error:
            return Model(name, "", (), None, f"its files cannot be read: {error.strerror}")

    def _model_if_there(self, name: str) -> Model | None:
        return self.model(name) if self._repository.versions("head", name) else None

    def _require_backbone(self, candidate: HeadManifest, incumbent: HeadManifest) -> None:
        """A head that moves to another backbone must find it there."""
        wanted = candidate.backbone
        if wanted.digest == incumbent.backbone.digest:
            return
        try:
            found = self._repository.backbone(wanted.name, wanted.version).manifest.digest
        except (ModelInvalidError, NotFoundError):
            found = ""
        if found != wanted.digest:
            raise GateFailedError(
                f"{candidate.name}/{candidate.version} was made on backbone {wanted.name}/{wanted.version}, which is "
                "not in the model folder: publish that first, or promote with force",
                backbone=wanted.digest,
            )

    def _whole(self, name: str, version: int) -> HeadManifest:
        """The manifest of a version whose files are all there and undamaged."""
        bundle = self._repository.head(name, version)
        bundle.read_model()
        bundle.read_golden()
        for variant in bundle.manifest.variants:
            own = variant_bundle(bundle, variant)
            own.read_model()
            own.read_golden()
        return bundle.manifest

    def _incumbent(self, name: str, version: int, force: bool) -> HeadManifest | None:
        """The default; None where it is broken or gone, which only force gets by: nothing can be compared with it."""
        try:
            return self._repository.head(name, version).manifest
        except (ModelInvalidError, NotFoundError) as error:
            if force:
                return None
            raise GateFailedError(
                f"the default cannot be compared with: {error.message}; promote with force"
            ) from error

    def _check_companion(self, name: str, version: int, default: int) -> None:
        candidate = self._whole(name, version)
        if version != default:
            _check_task(candidate, self._repository.head(name, default).manifest)

    def _task(self, name: str, version: int) -> str:
        return self._version(name, version).task

    def _version(self, name: str, version: int) -> ModelVersion:
        try:
            return _facts(self._repository.head(name, version))
        except (ModelInvalidError, NotFoundError) as error:
            return ModelVersion(name, version, fault=error.message)


def _check_task(candidate: HeadManifest, default: HeadManifest) -> None:
    if candidate.task != default.task:
        raise WrongTaskError(
            f"{candidate.name}/{candidate.version} does {candidate.task}, the default version does {default.task}: "
            "a head keeps its task; publish it under another name",
            task=candidate.task,
        )


def _facts(bundle: Bundle[HeadManifest]) -> ModelVersion:
    manifest = bundle.manifest
    return ModelVersion(
        name=manifest.name,
        version=manifest.version,
        task=manifest.task,
        mode=manifest.mode,
        digest=manifest.digest,
        backbone=f"{manifest.backbone.name}/{manifest.backbone.version}",
        backbone_digest=manifest.backbone.digest,
        features=manifest.features,
        label_count=len(bundle.labels),
        metrics=dict(manifest.metrics),
        evaluation=manifest.evaluation,
        source=manifest.origin.source,
        licence=manifest.origin.licence,
        data=manifest.origin.data,
        terms=manifest.terms or "",
    )
