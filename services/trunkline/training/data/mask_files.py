"""Which mask is that of which picture."""

from collections import defaultdict
from pathlib import Path
from typing import Final

from trunkline.core.text import printable
from trunkline.training.data.names import listed
from trunkline.training.data.remarks import Kind, Remarks

# Those without loss. Pixels of a JPEG are not the values that were written.
_SUFFIXES: Final = (".png", ".bmp", ".tif", ".tiff", ".gif")
_LOSSY: Final = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp")
_WORDS: Final = ("mask", "masks", "seg", "segmentation", "label", "labels", "gt", "annotation", "l")
_ENDINGS: Final = tuple(f"{mark}{word}" for mark in "_-." for word in _WORDS)


class MaskNames:
    """The masks in one folder by the names of their pictures: the same, or that with an ending such as _mask."""

    def __init__(self, root: Path, folder: Path, remarks: Remarks) -> None:
        self._root, self._folder, self._remarks = root, folder, remarks
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in listed(folder, *_SUFFIXES):
            self._by_stem[path.stem].append(path)
        self._lossy = {path.stem for path in listed(folder, *_LOSSY)}

    def of(self, picture: Path, name: str) -> Path | None:
        """The mask of a picture, `name` in messages; None where it has none and is left out."""
        for ending in ("", *_ENDINGS):
            stems = [picture.stem + ending, *([picture.stem + ending.upper()] if ending else [])]
            found = [path for stem in stems for path in self._by_stem.get(stem, ())]
            found = [path for path in found if path.suffix.lower() == ".png"] or found
            if len(found) > 1:
                self._remarks.leave_out("picture", Kind.MASK, name, "several files may be its mask")
                return None
            if found:
                if ending:
                    read = printable(found[0].relative_to(self._root).as_posix())
                    self._remarks.read(Kind.MASK_NAME, name, f"no mask has its name: {read} is taken")
                return found[0]
        self._remarks.leave_out("picture", Kind.MASK, name, self._reason(picture))
        return None

    def _reason(self, picture: Path) -> str:
        folder = self._folder.relative_to(self._root).as_posix()
        if any(picture.stem + ending in self._lossy for ending in ("", *_ENDINGS)):
            return f"its mask in {folder} is a JPEG or WebP, which changes ids: save masks as PNG"
        return f"there is no mask {folder}/{printable(picture.stem)}.png"
