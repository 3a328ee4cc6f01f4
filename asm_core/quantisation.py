"""Quantisation of 8 x 8 blocks as a JPEG encoder does it, without rounding samples or clipping."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asm_core import validate
from asm_core.dct import block_dct, block_idct
from asm_core.validate import FloatArray

# Samples of 0 .. 1 are grey levels of 0 .. 255, which JPEG centres on 0 before the transform.
LEVELS, LEVEL_SHIFT = 255.0, 128.0

# Luminance, quality 50; ITU-T T.81 (1992), table K.1.
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def quantisation_table(quality: int) -> NDArray[np.int64]:
    """The luminance table of the Independent JPEG Group at a quality, as libjpeg scales it.

    Parameters
    ----------
    quality
        1 .. 100.

    Returns
    -------
    (8, 8) int64 steps [u, v], each 1 .. 255 (baseline JPEG), in grey levels.

    Raises
    ------
    ValueError
        For a quality out of range.

    References
    ----------
    ITU-T T.81 (1992), table K.1; `jpeg_quality_scaling` of the IJG's libjpeg.
    """
    quality = validate.quality(quality)
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    table = (np.array(_LUMINANCE, dtype=np.int64) * percent + 50) // 100
    return np.clip(table, 1, 255)


def quantise(blocks: ArrayLike, quality: int) -> FloatArray:
    """Blocks whose DCT coefficients are rounded to multiples of the luminance table.

    The samples of `quantised_coefficients`, whose parameters, units and errors it has.
    """
    return block_idct(quantised_coefficients(blocks, quality))


def quantised_coefficients(blocks: ArrayLike, quality: int) -> FloatArray:
    """DCT coefficients of blocks, rounded to multiples of the luminance table.

    X becomes 255 X - 128 grey levels, is transformed, and each coefficient is rounded to the
    nearest multiple of its step, halves away from 0 as libjpeg does; then back.  Samples are
    neither rounded nor clipped, so quantising again changes nothing but rounding errors.

    Parameters
    ----------
    blocks
        (..., 8, 8) real samples, where 0 .. 1 is black to white; other values are taken alike.
    quality
        1 .. 100.

    Returns
    -------
    (..., 8, 8) float64 coefficients of blocks whose samples are in the unit of those given.

    Raises
    ------
    ValueError
        For blocks that are not 8 x 8, a sample that is not finite, or a quality out of range.
    """
    steps = quantisation_table(quality)
    samples = validate.blocks("blocks", blocks)
    validate.quality(quality, samples.shape[-1])
    coefficients = block_dct(samples * LEVELS - LEVEL_SHIFT)
    whole = np.floor(np.abs(coefficients) / steps + 0.5)
    return from_grey_levels(np.copysign(whole, coefficients) * steps)


def from_grey_levels(coefficients: FloatArray) -> FloatArray:
    """DCT coefficients of samples 0 .. 1 from those of grey levels minus 128, -128 .. 127.

    Parameters
    ----------
    coefficients
        (..., 8, 8) float64, as a JPEG file has them, dequantised.

    Returns
    -------
    (..., 8, 8) float64 coefficients [u, v]; a coefficient of 0 stays 0, except the DC.
    """
    scaled = coefficients / LEVELS
    scaled[..., 0, 0] += 8 * LEVEL_SHIFT / LEVELS
    return scaled
