"""A head measured under another preprocessing spec, and adapted to it where it is linear: the next version of it."""

from trunkline.training.variants.build import measure_variant
from trunkline.training.variants.request import VariantReport, VariantRequest

__all__ = ["VariantReport", "VariantRequest", "measure_variant"]
