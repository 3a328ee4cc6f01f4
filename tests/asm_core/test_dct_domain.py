"""Masking, pooling and joining of blocks that stay DCT coefficients."""

import numpy as np
import pytest
from helpers import oracles
from helpers.coefficients import close, inverse, random_case, transform

import asm_core
from asm_core import dct_domain

SIZES = [2, 4, 6, 8]
POOLINGS = [(2, 2), (4, 1), (4, 2), (4, 4), (6, 2), (6, 3), (8, 2), (8, 4)]
TILINGS = [(1, 3), (2, 1), (2, 4), (3, 2), (3, 3), (4, 1), (4, 2)]
IMAGES = [(8, 2), (8, 4), (6, 2), (6, 3), (4, 4), (4, 1)]


def cut(image, size):
    """The blocks of an image, [block row, block column, i, j], slice by slice."""
    rows, columns = (side // size for side in image.shape)
    return np.array(
        [
            [image[r * size : r * size + size, q * size : q * size + size] for q in range(columns)]
            for r in range(rows)
        ]
    )


def spatial_asm_max_pool(coefficients, n, k, selection="triangle"):
    """By way of the samples: decode, choose, pool, assemble the image, cut and transform it."""
    size = coefficients.shape[-1]
    exact = inverse(coefficients)
    approximate = inverse(np.where(oracles.kept(size, n, selection), coefficients, 0.0))
    pooled = np.empty((*coefficients.shape[:2], size // k, size // k))
    for index in np.ndindex(coefficients.shape[:2]):
        mask = oracles.local_maximum_mask(approximate[index], k)
        pooled[index] = oracles.masked_max_pool(exact[index], mask, k)
    return transform(cut(oracles.tile(pooled), size))


@pytest.mark.parametrize("size", [2, 4, 6])
def test_half_spatial_tensor_is_the_definition(size):
    tensor = asm_core.half_spatial_tensor(size)
    assert tensor.shape == (size,) * 6
    close(tensor, oracles.half_spatial_tensor(size))


@pytest.mark.parametrize("size", SIZES)
def test_apply_mask_is_the_contraction_of_the_tensor(size):
    coefficients, mask = random_case(size)
    tensor = asm_core.half_spatial_tensor(size)
    expected = np.einsum("abijuv,ij,uv->ab", tensor, mask, coefficients)
    close(asm_core.apply_mask(coefficients, mask), expected)


@pytest.mark.parametrize("size", SIZES)
def test_apply_mask_is_the_definition_in_loops(size):
    coefficients, mask = random_case(size)
    close(asm_core.apply_mask(coefficients, mask), oracles.apply_mask(coefficients, mask))


@pytest.mark.parametrize("size", [*SIZES, 12, 20, 32])
def test_apply_mask_agrees_with_the_way_through_the_samples(size):
    coefficients, mask = random_case(size, 3)
    close(asm_core.apply_mask(coefficients, mask), transform(inverse(coefficients) * mask))


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_the_mask_of_a_leaky_relu_gives_its_coefficients(slope):
    blocks = np.random.default_rng(3).normal(size=(5, 8, 8))
    mask = np.where(blocks > 0, 1.0, slope)
    expected = transform(np.where(blocks > 0, blocks, slope * blocks))
    close(asm_core.apply_mask(transform(blocks), mask), expected)


@pytest.mark.parametrize("size", SIZES)
def test_a_mask_of_ones_is_the_identity_and_of_zeros_leaves_nothing(size):
    coefficients, _ = random_case(size, 2)
    close(asm_core.apply_mask(coefficients, np.ones(coefficients.shape)), coefficients)
    assert not asm_core.apply_mask(coefficients, np.zeros(coefficients.shape)).any()


def test_masks_apply_one_after_another_as_their_product():
    coefficients, first = random_case(8)
    second = np.random.default_rng(1).integers(0, 2, size=(8, 8)).astype(bool)
    twice = asm_core.apply_mask(asm_core.apply_mask(coefficients, first), second)
    close(twice, asm_core.apply_mask(coefficients, first * second))


@pytest.mark.parametrize(("size", "window"), POOLINGS)
def test_pool_masked_is_the_definition_in_loops(size, window):
    coefficients, mask = random_case(size)
    pooled = asm_core.pool_masked(coefficients, mask, window)
    assert pooled.shape == (size // window, size // window)
    samples = oracles.approximate(coefficients, 2 * size - 2)
    close(pooled, oracles.dct(oracles.masked_max_pool(samples, mask, window)))


@pytest.mark.parametrize(("size", "window"), [*POOLINGS, (12, 3), (20, 4), (32, 2)])
def test_pool_masked_agrees_with_the_formula_of_the_pooling_matrix(size, window):
    coefficients, mask = random_case(size, 3)
    sums = np.kron(np.eye(size // window), np.ones((1, window)))
    expected = transform(sums @ (inverse(coefficients) * mask) @ sums.T)
    close(asm_core.pool_masked(coefficients, mask, window), expected)


@pytest.mark.parametrize("size", SIZES)
def test_a_window_as_wide_as_the_block_leaves_the_sample_kept(size):
    coefficients, _ = random_case(size)
    samples = inverse(coefficients)
    mask = samples == samples.max()
    close(asm_core.pool_masked(coefficients, mask, size), [[samples.max()]])


@pytest.mark.parametrize(("size", "window"), POOLINGS)
def test_equal_weights_are_average_pooling_which_keeps_the_mean(size, window):
    coefficients, _ = random_case(size)
    mask = np.full((size, size), 1 / window**2)
    pooled = asm_core.pool_masked(coefficients, mask, window)
    # The mean of N x N samples is the DC over N.
    close(pooled[0, 0] / (size // window), coefficients[0, 0] / size)


def test_windows_are_two_by_two_unless_told():
    coefficients, mask = random_case(8)
    default = asm_core.pool_masked(coefficients, mask)
    assert np.array_equal(default, asm_core.pool_masked(coefficients, mask, 2))


@pytest.mark.parametrize(("count", "size"), TILINGS)
def test_joined_blocks_are_the_coefficients_of_the_tiled_block(count, size):
    blocks = np.random.default_rng(size).normal(size=(count, count, size, size))
    coefficients = np.empty_like(blocks)
    for index in np.ndindex(count, count):
        coefficients[index] = oracles.dct(blocks[index])
    joined = asm_core.join_blocks(coefficients)
    assert joined.shape == (count * size, count * size)
    close(joined, oracles.dct(oracles.tile(blocks)))


@pytest.mark.parametrize(("count", "size"), [*TILINGS, (8, 1), (5, 7), (2, 16)])
def test_joined_blocks_agree_with_the_way_through_the_samples(count, size):
    coefficients = np.random.default_rng(0).normal(size=(count, count, size, size))
    expected = transform(oracles.tile(inverse(coefficients)))
    close(asm_core.join_blocks(coefficients), expected)


@pytest.mark.parametrize(("count", "size"), TILINGS)
def test_joining_preserves_energy(count, size):
    coefficients = np.random.default_rng(1).normal(size=(7, count, count, size, size))
    energy = (asm_core.join_blocks(coefficients) ** 2).sum(axis=(-2, -1))
    np.testing.assert_allclose(energy, (coefficients**2).sum(axis=(1, 2, 3, 4)), rtol=1e-13)


def test_four_samples_join_to_their_sum_and_differences():
    joined = asm_core.join_blocks([[[[1.0]], [[2.0]]], [[[4.0]], [[8.0]]]])
    close(joined, [[7.5, -2.5], [-4.5, 1.5]])


@pytest.mark.parametrize(("size", "window"), IMAGES)
def test_asm_max_pool_agrees_with_the_way_through_the_samples(size, window):
    random = np.random.default_rng(size)
    coefficients = random.normal(size=(2 * window, window, size, size))
    for n in (1, 2, size // 2, size - 1, 2 * size - 3, 2 * size - 2, 99):
        pooled = asm_core.asm_max_pool(coefficients, n, window)
        assert pooled.shape == (2, 1, size, size)
        close(pooled, spatial_asm_max_pool(coefficients, n, window))


@pytest.mark.parametrize("selection", ["square", "zigzag", "energy"])
def test_asm_max_pool_takes_every_selection(selection):
    coefficients = np.random.default_rng(5).normal(size=(2, 2, 8, 8))
    for n in (1, 4, 6):
        pooled = asm_core.asm_max_pool(coefficients, n, selection=selection)
        close(pooled, spatial_asm_max_pool(coefficients, n, 2, selection))


@pytest.mark.parametrize(("size", "window"), IMAGES)
def test_at_the_last_frequency_the_whole_image_is_max_pooled_exactly(size, window):
    random = np.random.default_rng(2)
    image = random.uniform(-1, 1, size=(window * size, 3 * window * size))
    pooled = np.empty((size, 3 * size))
    for a, b in np.ndindex(pooled.shape):
        pooled[a, b] = max(
            image[a * window + i, b * window + j] for i, j in np.ndindex(window, window)
        )
    actual = asm_core.asm_max_pool(transform(cut(image, size)), 2 * size - 2, window)
    close(actual, transform(cut(pooled, size)))


@pytest.mark.parametrize(("size", "window"), IMAGES)
def test_with_the_dc_alone_the_first_sample_of_each_window_stands_for_it(size, window):
    image = np.random.default_rng(4).random((2 * window * size, window * size))
    actual = asm_core.asm_max_pool(transform(cut(image, size)), 0, window)
    close(actual, transform(cut(image[::window, ::window], size)))


def test_masks_come_from_the_frequencies_and_windows_are_two_by_two_unless_told():
    coefficients = np.random.default_rng(5).normal(size=(2, 2, 8, 8))
    default = asm_core.asm_max_pool(coefficients, 5)
    assert np.array_equal(default, asm_core.asm_max_pool(coefficients, 5, 2, "triangle"))
    assert np.abs(default - asm_core.asm_max_pool(coefficients, 6)).max() > 0.1


def test_for_a_fixed_mask_every_step_is_linear_in_the_coefficients():
    random = np.random.default_rng(6)
    first, second = random.normal(size=(2, 2, 2, 8, 8))
    mask = random.integers(0, 2, size=(2, 2, 8, 8))

    def pool(values):
        return asm_core.join_blocks(asm_core.pool_masked(values, mask))

    close(pool(2.5 * first - 3 * second), 2.5 * pool(first) - 3 * pool(second))


@pytest.mark.parametrize("lead", [(), (1,), (7,), (2, 3), (0,)])
def test_any_leading_shape_is_a_batch_of_the_same_images(lead):
    random = np.random.default_rng(7)
    images = random.normal(size=(*lead, 4, 2, 8, 8))
    mask = random.integers(0, 2, size=images.shape)
    masked = asm_core.apply_mask(images, mask)
    blocks = asm_core.pool_masked(images, mask, 4)
    pooled = asm_core.asm_max_pool(images, 4)
    joined = asm_core.join_blocks(images[..., :2, :, :, :])
    assert masked.shape == images.shape
    assert blocks.shape == (*lead, 4, 2, 2, 2)
    assert pooled.shape == (*lead, 2, 1, 8, 8)
    assert joined.shape == (*lead, 16, 16)
    for index in np.ndindex(lead):
        close(masked[index], asm_core.apply_mask(images[index], mask[index]))
        close(blocks[index], asm_core.pool_masked(images[index], mask[index], 4))
        close(pooled[index], asm_core.asm_max_pool(images[index], 4))
        close(joined[index], asm_core.join_blocks(images[index][:2]))


def test_arguments_are_left_as_they_were():
    coefficients, mask = random_case(8, 2, 2)
    before = coefficients.copy(), mask.copy()
    asm_core.pool_masked(coefficients, mask)
    asm_core.join_blocks(coefficients)
    asm_core.asm_max_pool(coefficients, 3)
    assert np.array_equal(coefficients, before[0])
    assert np.array_equal(mask, before[1])


def test_a_caller_who_writes_into_a_tensor_harms_nobody():
    asm_core.half_spatial_tensor(2)[:] = 0
    assert asm_core.half_spatial_tensor(2)[0, 0, 0, 0, 0, 0] == pytest.approx(0.25)


@pytest.mark.parametrize("matrix", [dct_domain._pooling_matrix, dct_domain._joining_matrix])
def test_shared_matrices_cannot_be_written(matrix):
    with pytest.raises(ValueError, match="read-only"):
        matrix(4, 2)[:] = 0


@pytest.mark.parametrize("size", [18, 32, 64])
def test_a_tensor_of_gigabytes_is_refused_with_the_way_around_it(size):
    message = f"block size must be at most 16 .* got {size}: use apply_mask"
    with pytest.raises(ValueError, match=message):
        asm_core.half_spatial_tensor(size)


@pytest.mark.parametrize("size", [7, 0, 2.0, True])
def test_a_tensor_of_a_size_that_is_not_even_is_refused(size):
    with pytest.raises(ValueError, match="block size must be"):
        asm_core.half_spatial_tensor(size)


@pytest.mark.parametrize("function", [asm_core.apply_mask, asm_core.pool_masked])
@pytest.mark.parametrize(
    ("coefficients", "mask", "message"),
    [
        (np.zeros((8, 6)), np.zeros((8, 6)), r"coefficients must have shape .* got \(8, 6\)"),
        (np.zeros((3, 3)), np.zeros((3, 3)), "even, got 3: use 2 or 4"),
        (np.full((2, 2), np.inf), np.zeros((2, 2)), "coefficients must be finite, got inf"),
        (np.zeros((2, 2)), np.full((2, 2), np.nan), "mask must be finite, got nan"),
        (np.zeros((2, 2)), np.zeros((2, 2), complex), "mask must be real numbers"),
        (
            np.zeros((5, 4, 4)),
            np.zeros((4, 4)),
            r"shape of the coefficients, \(5, 4, 4\), got \(4, 4\): np.broadcast_to",
        ),
    ],
)
def test_what_cannot_be_masked_is_refused_by_name(function, coefficients, mask, message):
    with pytest.raises(ValueError, match=message):
        function(coefficients, mask)


@pytest.mark.parametrize("window", [3, 0, -2, 16, 2.0])
def test_a_window_that_does_not_divide_the_block_is_refused(window):
    zeros = np.zeros((48, 48, 8, 8))
    with pytest.raises(ValueError, match="window must"):
        asm_core.pool_masked(zeros, zeros, window)
    with pytest.raises(ValueError, match="window must"):
        asm_core.asm_max_pool(zeros, 3, window)


@pytest.mark.parametrize(
    "shape", [(4, 4), (2, 4, 4), (2, 3, 4, 4), (2, 2, 4, 3), (0, 0, 4, 4), (2, 2, 0, 0)]
)
def test_blocks_that_do_not_tile_a_square_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(\.\.\., k, k, M, M\).* got \("):
        asm_core.join_blocks(np.zeros(shape))


def test_blocks_that_are_not_finite_are_not_joined():
    with pytest.raises(ValueError, match="coefficients must be finite, got nan"):
        asm_core.join_blocks(np.full((2, 2, 3, 3), np.nan))


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (1, 2), (5, 5)])
def test_an_image_whose_blocks_do_not_join_is_refused(shape):
    message = f"multiple of the window, 2, in blocks each way, got {shape[0]} x {shape[1]} blocks"
    with pytest.raises(ValueError, match=message):
        asm_core.asm_max_pool(np.zeros((*shape, 8, 8)), 3)


@pytest.mark.parametrize(
    ("coefficients", "options", "message"),
    [
        (np.zeros((4, 8, 8)), {}, r"shape \(\.\.\., R, Q, N, N\), got \(4, 8, 8\)"),
        (np.zeros((2, 2, 7, 7)), {}, "even, got 7"),
        (np.zeros((2, 2, 8, 8)), {"n_freqs": -1}, "n_freqs must be at least 0, got -1"),
        (np.zeros((2, 2, 8, 8)), {"selection": "every"}, "selection must be one of .* 'every'"),
    ],
)
def test_what_is_not_an_image_of_blocks_is_refused(coefficients, options, message):
    with pytest.raises(ValueError, match=message):
        asm_core.asm_max_pool(coefficients, **{"n_freqs": 3, **options})
