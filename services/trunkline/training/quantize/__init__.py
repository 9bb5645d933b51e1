"""From a backbone in float32 to the same in 8 bits: `quantize_backbone`.

request      what is asked for, and what comes back
pictures     the pictures to calibrate with, and those to measure on, by the specs that heads use
net          an ONNX graph with its constants, and runs of parts of it
ranges       what values tensors take, and the 8 bits for them
equalize     channels scaled to one range, where that changes no answer
rounding     weights in 7 bits, chosen so that the outputs change least
refine       layer by layer: weights fitted to what the exact layer answers, then rounded
qdq          the graph with QuantizeLinear and DequantizeLinear
measure      both backbones side by side: features, answers of heads, speed
card         CARD.md
quantize     from end to end
"""

from trunkline.training.quantize.quantize import quantize_backbone
from trunkline.training.quantize.request import QuantizeReport, QuantizeRequest

__all__ = ["QuantizeReport", "QuantizeRequest", "quantize_backbone"]
