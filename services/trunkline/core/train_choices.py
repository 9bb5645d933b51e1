"""Words that a request to train may hold: for the request, and for the command line, which imports little."""

from typing import Literal

Augmentation = Literal["none", "mirror", "flips", "photo", "scene", "boxes", "overhead", "pasted", "turns"]

Loss = Literal[
    "cross_entropy",
    "dice",
    "focal",
    "combined",
    "contrastive",
    "triplet",
    "arcface",
    "proxy_anchor",
    "prototypical",
]
