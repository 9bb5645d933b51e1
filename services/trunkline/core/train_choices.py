"""What the other views of a picture may be, for a request to train and for the command line."""

from typing import Literal

Augmentation = Literal[
    "none", "mirror", "flips", "photo", "scene", "boxes", "overhead", "pasted", "turns", "moved", "posed"
]
