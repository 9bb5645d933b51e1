"""Masks of boxes to masks of the caller's picture."""

import numpy as np
from PIL import Image

from trunkline.core.masks import encode_part
from trunkline.core.results import RunLengthMask

_INSIDE = 0.5  # least probability of a pixel of the object


def paste(mask: np.ndarray, box: np.ndarray, width: int, height: int) -> RunLengthMask:
    """float32 (h, w), probabilities over the whole of a box -> the object's pixels in a picture of width x height.

    box: float64 (4,), x_min y_min x_max y_max in pixels of the picture, of which a part may lie outside of it. Each
    pixel whose centre is in the box takes the probability there (bilinear) and belongs to the object from 0.5 on.
    Source: He et al. 2017, Mask R-CNN, section 3.1, Inference.
    """
    x_min, y_min, x_max, y_max = map(float, box)
    left, right = max(0, int(np.floor(x_min))), min(width, int(np.ceil(x_max)))
    top, bottom = max(0, int(np.floor(y_min))), min(height, int(np.ceil(y_max)))
    # Cells of the mask for each pixel of the picture; what is outside of the mask is 0. Columns are made as rows: run
    # lengths go down the columns, and to turn a large part costs more than to encode it.
    per_x, per_y = mask.shape[1] / (x_max - x_min), mask.shape[0] / (y_max - y_min)
    affine = (per_y, 0.0, (top - y_min) * per_y, 0.0, per_x, (left - x_min) * per_x)
    size, method = (bottom - top, right - left), Image.Resampling.BILINEAR
    columns = Image.fromarray(np.ascontiguousarray(mask.T)).transform(size, Image.Transform.AFFINE, affine, method)
    return encode_part((np.asarray(columns) >= _INSIDE).T, left, top, width, height)
