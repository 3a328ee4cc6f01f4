"""The verb that works one block through."""

from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.cli import results, stores
from pipeline.cli.declaration import Request
from pipeline.cli.words import load
from pipeline.config import notation
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.analysis.example import Block, Example

# Blocks of a store, by their error.
_BY_ERROR = ("worst", "median", "best")
_COLOURS = ("diverging", "notebook")
# Keys of a sweep that choose one of a store's curves.
_OF_A_STORE = ("source", "block_size", "operation", "selection", "algorithm")


def which_trial(key: str, value: str) -> int | str:
    """A block: its number, or by its error in a store."""
    if value in _BY_ERROR:
        return value
    if value.strip().isalpha():
        raise UserError(f"{key} must be a number, or {', '.join(_BY_ERROR)}, got {value}")
    return notation.integer(key, value)


def colours(key: str, value: str) -> str:
    """The colours of a block."""
    if value not in _COLOURS:
        raise UserError(f"{key} must be one of {', '.join(_COLOURS)}, got {value}")
    return value


def example(request: Request) -> int:
    """`example`: one block through masks, pooling and error."""
    from pipeline.show import blocks, fitting, tables

    own, to = request.own, request.own["to"]
    if not blocks.is_animated(to):
        to = results.picture_path(to)
    said: dict[str, Any] = {}
    if request.places:
        block, errors = _block_of_store(request)
        said = tables.distribution(errors)
        if not request.json:
            what = f"{_algorithm(request)} at n = {own['freqs']}"
            fitting.say(tables.distribution_in_words(said, what))
    else:
        block = _block_of_settings(request)
    shown = block.at(own["freqs"])
    matrices = _matrices(block, shown) if own["matrices"] else {}
    if request.json:
        names = ("freq", "kept", "accuracy", "asm_error", "apx_error")
        said |= {"title": block.title, "trial": block.trial}
        said |= {name: getattr(shown, name) for name in names}
        said["own_errors"] = {name: error for name, (_, error) in shown.own.items()}
        if matrices:
            said["matrices"] = matrices
        return results.save_picture(_picture(request, block, to), to, said)
    size = len(block.values)
    fitting.say(f"{block.title}, n = {shown.freq} ({shown.kept} of {size * size} coefficients)")
    for name, matrix in matrices.items():
        tables.print_matrix(name, matrix)
    if matrices:
        print()
    print(f"mask:      {100 * shown.accuracy:.1f} % right")
    print(f"ASM error: {shown.asm_error:.6f} (RMSE)")
    print(f"APX error: {shown.apx_error:.6f} (RMSE)")
    for name, (_, error) in shown.own.items():
        print(f"{name} error: {error:.6f} (RMSE)")
    return results.save_picture(_picture(request, block, to), to)


def _matrices(block: "Block", shown: "Example") -> dict[str, Any]:
    return {
        "exact block": shown.exact,
        "approximate block": shown.approximate,
        "true mask": shown.true_mask,
        "approximate mask": shown.mask,
        f"true {block.operation}": shown.true,
        f"approximate {block.operation} (ASM)": shown.asm,
        f"{block.operation} of the approximate block (APX)": shown.apx,
        **{f"{block.operation} by {name}": result for name, (result, _) in shown.own.items()},
    }


def _picture(request: Request, block: "Block", to: str) -> Any:
    """What `save_picture` saves: a figure, or a function that writes one after the other."""
    from pipeline.show import blocks

    own, colours = request.own, request.own["colours"]
    if blocks.is_animated(to):
        return partial(blocks.save_animation, block, colours=colours)
    if own["strip"]:
        return blocks.plot_strip(block, colours)
    return blocks.plot_example(block, own["freqs"], colours)


def _block_of_settings(request: Request) -> "Block":
    from pipeline.analysis import example

    trial = request.own["trial"]
    if isinstance(trial, str):
        raise UserError(
            f"trial={trial} is by the errors of a store: name it, example STORE trial={trial}"
        )
    words = [*request.words, f"freqs={request.own['freqs']}"]
    block = example.of_settings(load(words, request.config_dirs), trial)
    if "algorithm" in request.sweep_keys and not block.own:
        raise UserError(
            "example shows ASM and APX anyhow: leave algorithm out, or give a function of your "
            "own, or a STORE, whose errors are then those of the algorithm"
        )
    return block


def _algorithm(request: Request) -> str:
    """Whose errors are meant, of a store."""
    return request.sweep_keys.get("algorithm", "asm")


def _block_of_store(request: Request) -> "tuple[Block, Any]":
    """The block, and the errors of all blocks of its curve."""
    from pipeline.analysis import example

    for key in request.sweep_keys:
        if key not in _OF_A_STORE:
            known = ", ".join(_OF_A_STORE)
            raise UserError(
                f"{key} is of the store, which has it already: leave it out; what chooses one of "
                f"its curves is {known}"
            )
    own, names = request.own, notation.names("algorithm", _algorithm(request))
    if len(names) > 1:
        raise UserError(
            f"example chooses a block by the errors of one algorithm, got {','.join(names)}: "
            f"algorithm={names[0]}"
        )
    store = stores.open_store(request)
    return example.of_store(store, request.sweep_keys, names[0], own["freqs"], own["trial"])
