"""What happens to pictures on their way: noise, blur, weather, codecs, in five severities.

Kinds and their strengths are those of ImageNet-C for pictures of 224x224: Hendrycks and Dietterich, Benchmarking
Neural Network Robustness to Common Corruptions and Perturbations, 2019. Frost, snow, fog and glass need textures of
their own and are left out.
"""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageFilter

SEVERITIES = (1, 2, 3, 4, 5)
Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]


def corrupted(pixels: np.ndarray, kind: str, severity: int, seed: int) -> np.ndarray:
    """uint8 (H, W, 3) -> the same. severity: 1 to 5. Raises KeyError for a kind that is none of KINDS."""
    change, strengths = KINDS[kind]
    found = change(pixels.astype(np.float32) / 255, strengths[severity - 1], np.random.default_rng(seed))
    return np.asarray(np.rint(255 * found.clip(0, 1)).astype(np.uint8))


def _gaussian_noise(pixels: np.ndarray, spread: float, random: np.random.Generator) -> np.ndarray:
    return np.asarray(pixels + random.normal(0, spread, pixels.shape))


def _shot_noise(pixels: np.ndarray, photons: float, random: np.random.Generator) -> np.ndarray:
    return np.asarray(random.poisson(pixels * photons) / photons)


def _impulse_noise(pixels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    hit = random.random(pixels.shape)
    return np.where(hit < share / 2, 0.0, np.where(hit > 1 - share / 2, 1.0, pixels))


def _defocus_blur(pixels: np.ndarray, radius: float, random: np.random.Generator) -> np.ndarray:
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return _filtered(pixels, (x**2 + y**2 <= radius**2).astype(np.float64))


def _motion_blur(pixels: np.ndarray, length: float, random: np.random.Generator) -> np.ndarray:
    reach = int(length)
    angle = random.uniform(-np.pi / 4, np.pi / 4)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    for step in np.linspace(-reach, reach, 4 * reach + 1):
        kernel[round(reach + step * np.sin(angle)), round(reach + step * np.cos(angle))] += 1
    return _filtered(pixels, kernel)


def _zoom_blur(pixels: np.ndarray, most: float, random: np.random.Generator) -> np.ndarray:
    height, width, _ = pixels.shape
    picture = _picture(pixels)
    layers = [pixels]
    for zoom in np.arange(1.01, most, 0.02):
        inner = width / zoom, height / zoom
        left, top = (width - inner[0]) / 2, (height - inner[1]) / 2
        box = (left, top, left + inner[0], top + inner[1])
        layers.append(_array(picture.resize((width, height), Image.Resampling.BILINEAR, box)))
    return np.asarray(np.mean(layers, axis=0))


def _brightness(pixels: np.ndarray, more: float, random: np.random.Generator) -> np.ndarray:
    largest = pixels.max(axis=2, keepdims=True)  # (H, W, 1), the value of HSV
    return np.asarray(pixels * (np.minimum(1, largest + more) / np.maximum(largest, 1e-6)))


def _contrast(pixels: np.ndarray, left: float, random: np.random.Generator) -> np.ndarray:
    mean = pixels.mean(axis=(0, 1), keepdims=True)  # (1, 1, 3)
    return np.asarray((pixels - mean) * left + mean)


def _pixelate(pixels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    height, width, _ = pixels.shape
    small = _picture(pixels).resize((max(1, int(width * share)), max(1, int(height * share))), Image.Resampling.BOX)
    return _array(small.resize((width, height), Image.Resampling.NEAREST))


def _jpeg(pixels: np.ndarray, quality: float, random: np.random.Generator) -> np.ndarray:
    file = io.BytesIO()
    _picture(pixels).save(file, "JPEG", quality=int(quality))
    with Image.open(file) as picture:
        return _array(picture.convert("RGB"))


def _gaussian_blur(pixels: np.ndarray, radius: float, random: np.random.Generator) -> np.ndarray:
    return _array(_picture(pixels).filter(ImageFilter.GaussianBlur(radius)))


def _filtered(pixels: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Convolution with a kernel (k, k) that is brought to a sum of 1; the edge goes on outside."""
    height, width, _ = pixels.shape
    reach = kernel.shape[0] // 2
    wide = np.pad(pixels, ((reach, reach), (reach, reach), (0, 0)), mode="edge")  # (H + 2r, W + 2r, 3)
    found = np.zeros_like(pixels, np.float64)
    for y, x in zip(*np.nonzero(kernel), strict=True):
        found += kernel[y, x] * wide[y : y + height, x : x + width]
    return np.asarray(found / kernel.sum())


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(255 * pixels.clip(0, 1)).astype(np.uint8))


def _array(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture, np.float32) / 255


KINDS: Mapping[str, tuple[Change, tuple[float, float, float, float, float]]] = {
    "gaussian noise": (_gaussian_noise, (0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot noise": (_shot_noise, (60, 25, 12, 5, 3)),
    "impulse noise": (_impulse_noise, (0.03, 0.06, 0.09, 0.17, 0.27)),
    "defocus blur": (_defocus_blur, (3, 4, 6, 8, 10)),
    "gaussian blur": (_gaussian_blur, (1, 2, 3, 4, 6)),
    "motion blur": (_motion_blur, (5, 7, 8, 10, 13)),
    "zoom blur": (_zoom_blur, (1.11, 1.16, 1.21, 1.26, 1.31)),
    "brightness": (_brightness, (0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": (_contrast, (0.4, 0.3, 0.2, 0.1, 0.05)),
    "pixelate": (_pixelate, (0.6, 0.5, 0.4, 0.3, 0.25)),
    "jpeg": (_jpeg, (25, 18, 15, 10, 7)),
}
