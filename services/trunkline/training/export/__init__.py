"""From a torch network to a bundle that is served: `export_backbone`.

request      what is asked for, and what comes back
lite, timm_nets, torchvision_nets    the three origins of a network
weights      weight files, downloads, and the origin that goes into the manifest
network      the feature contract: what a network gives out, found by its shapes
rewrite      modules replaced by what exports better: padding, pooling
classifier   the network's own classifier as a head
graph        torch to ONNX
checks       torch against ONNX Runtime
samples      the pictures that the checks use
card         CARD.md
folders      versions, staging, moving into place
"""

from trunkline.training.export.export import export_backbone
from trunkline.training.export.request import ExportReport, ExportRequest, Parity

__all__ = ["ExportReport", "ExportRequest", "Parity", "export_backbone"]
