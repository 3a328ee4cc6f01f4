"""The source text of a module, statement by statement: what each binds, names and changes.

Nothing is run, and nothing is known of values: what a statement may mean is taken for what it does.
"""

import ast
import builtins
import io
import sys
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import UserError

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_SETTING = ("setattr", "delattr")
_CONTAINERS = ("dict", "list", "set", "defaultdict", "OrderedDict", "Counter", "deque")
# By these code reaches what it does not name; and by these the content of files.
_REACHING = ("globals", "eval", "exec", "vars", "locals", "__import__", "import_module")
_READING = (
    "open", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "read_csv", "imread",
    "open_zarr", "open_dataset", "getenv",
)  # fmt: skip
_READING_OF_ANY = ("read_text", "read_bytes", "environ")


@dataclass(frozen=True)
class Import:
    """`import module`, or `from module import name`; `level` is how many dots it begins with."""

    module: str
    name: str | None
    level: int


@dataclass(frozen=True)
class Statement:
    """A statement at the top of a module.

    `binds` are the names that it gives, `names` those that it reads, `words` these and all
    attributes and texts that look like names; `changes` are names whose values it may change;
    `imports` are those in it; `reaches` is by which call it depends on what has no name here, if it
    does, and `reads` whether it reads a file; `is_empty` is whether it makes an empty container.
    """

    text: str
    binds: frozenset[str]
    names: frozenset[str]
    words: frozenset[str]
    changes: frozenset[str] = field(default_factory=frozenset)
    imports: tuple[Import, ...] = ()
    reaches: str = ""
    is_definition: bool = False
    is_empty: bool = False


class Module:
    """A module of the user's that is a file, and which of its statements count."""

    def __init__(self, key: str, name: str, file: str, is_own: Callable[[str], bool]) -> None:
        self.name, self.file = name, file
        self.is_package = Path(file).name == "__init__.py"
        # As it was imported, if it was.
        self.values = vars(sys.modules[name]) if name in sys.modules else {}
        source = Path(file).read_text(encoding="utf-8")
        try:
            self.statements = statements_of(source, is_own)
        except SyntaxError as error:
            raise UserError(f"{key} uses {file}, which cannot be read: {error}") from error
        self.needed: set[str] = set()
        self.by_any_word = False
        self.counted: dict[int, Statement] = {}

    @property
    def package(self) -> str:
        """What its relative imports are relative to."""
        return self.name if self.is_package else self.name.rpartition(".")[0]


def statements_of(source: str, is_own: Callable[[str], bool]) -> list[Statement]:
    """The statements of a module, in order, but for its docstring and what only a script runs.

    `is_own` tells modules of the user's from those of libraries.
    """
    tree = ast.parse(source)
    libraries = set(_libraries(tree, is_own))
    lines = _cleaned(source, tree)
    return [
        _statement(node, lines, libraries)
        for node in tree.body
        if not _is_text(node) and not _is_of_script(node)
    ]


def without_comments(source: str) -> str:
    """Source text without comments, docstrings and empty lines; as it is where it is no whole."""
    try:
        lines = _cleaned(source, ast.parse(source))
    except (tokenize.TokenError, SyntaxError):
        return source
    return "\n".join(line for line in lines if line is not None)


def _statement(node: ast.stmt, lines: list[str | None], libraries: set[str]) -> Statement:
    first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
    names, words, imports = set[str](), set[str](), list[Import]()
    binds, reaches = set[str](), ""
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            (names if isinstance(each.ctx, ast.Load) else binds).add(each.id)
        elif isinstance(each, ast.Attribute):
            words.add(each.attr)
        elif isinstance(each, ast.Constant):
            if isinstance(each.value, str) and each.value.isidentifier():
                names.add(each.value)
        elif isinstance(each, ast.Import | ast.ImportFrom):
            imports += _imports(each)
            binds |= set(_bound_by_import(each))
        elif isinstance(each, _DEFINITION):
            binds.add(each.name)
        reaches = reaches or _reaching(each, libraries)
    is_definition = isinstance(node, _DEFINITION)
    if isinstance(node, _DEFINITION):
        # What it binds inside is its own.
        names |= binds
        binds = {node.name}
    return Statement(
        "\n".join(line for line in lines[first - 1 : node.end_lineno] if line is not None),
        frozenset(binds), frozenset(names), frozenset(names | words),
        frozenset(_changed(node, names, libraries)), tuple(imports), reaches, is_definition,
        _is_empty(node),
    )  # fmt: skip


def _reaching(node: ast.AST, libraries: set[str]) -> str:
    """By which name a call depends on what is not in the code; empty where it does not."""
    if isinstance(node, ast.Attribute):
        root = node.value
        of_library = isinstance(root, ast.Name) and root.id in libraries
        if node.attr in _READING_OF_ANY or (of_library and node.attr in (*_READING, *_REACHING)):
            return node.attr
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in ("open", *_REACHING):
            return node.func.id
    return ""


def _changed(node: ast.stmt, names: set[str], libraries: set[str]) -> set[str]:
    """Names whose values a statement may change: of blocks and calls every one."""
    if isinstance(node, _DEFINITION):
        # As `register` of a function that has one for each type.
        return {_root(decorator) for decorator in node.decorator_list} - libraries
    if isinstance(node, ast.Import | ast.ImportFrom):
        return set()
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
        targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
        return {_root(target) for target in targets}
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        # `table.update(...)`, and `fill(table)`; to print something changes nothing, and what a
        # library does to arrays and lists shows in their content.
        called = node.value.func
        root = _root(called)
        if isinstance(called, ast.Name) and called.id not in _SETTING:
            is_known = hasattr(builtins, called.id) or called.id in libraries
        else:
            is_known = root in libraries
        return set() if is_known else names
    return names


def _root(node: ast.AST | None) -> str:
    """The name that `name.attribute[item](argument)` begins with; empty where it is none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield Import(alias.name, None, 0)
        else:
            yield Import(node.module or "", alias.name, node.level)


def _bound_by_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        whole = alias.asname or alias.name
        yield whole if isinstance(node, ast.ImportFrom) or alias.asname else whole.partition(".")[0]


def _libraries(tree: ast.Module, is_own: Callable[[str], bool]) -> Iterator[str]:
    """Names that modules of libraries, and what is taken from them, have in a source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if not is_own(alias.name.partition(".")[0]):
                    yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and not node.level and not is_own(node.module or ""):
            yield from _bound_by_import(node)


def _is_empty(node: ast.stmt) -> bool:
    """Whether a statement makes an empty container, which fills up later: of a cache."""
    value = getattr(node, "value", None)
    if isinstance(value, ast.Dict):
        return not value.keys
    if isinstance(value, ast.List | ast.Set | ast.Tuple):
        return not value.elts
    made_by = _root(value.func) if isinstance(value, ast.Call) else ""
    return made_by in _CONTAINERS and not getattr(value, "args", ())


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_of_script(node: ast.stmt) -> bool:
    """Whether it is the part of a file that runs where it is not imported."""
    return isinstance(node, ast.If) and "__name__" in {
        each.id for each in ast.walk(node.test) if isinstance(each, ast.Name)
    }


def _cleaned(source: str, tree: ast.Module) -> list[str | None]:
    """The lines of a source; None for those that say nothing: empty, comments, docstrings."""
    lines: list[str | None] = list(source.splitlines())
    of_text, whole = set[int](), list(source.splitlines())
    begun = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "COMMENT":
            row, column = token.start
            lines[row - 1] = whole[row - 1][:column].rstrip()
        elif kind == "STRING":
            # The lines of a text are as they are, but for what follows it on its last.
            of_text |= set(range(token.start[0], token.end[0]))
        elif kind == "FSTRING_START":
            begun = token.start[0]
        elif kind == "FSTRING_END":
            of_text |= set(range(begun, token.end[0]))
    for row in set(range(1, len(lines) + 1)) - of_text:
        lines[row - 1] = (lines[row - 1] or "").rstrip() or None
    uses_docstrings = any(
        isinstance(n, ast.Attribute) and n.attr == "__doc__" for n in ast.walk(tree)
    )
    for node in ast.walk(tree):
        if not isinstance(node, _DEFINITION) or uses_docstrings:
            continue
        first = node.body[0]
        alone = len(node.body) > 1 and node.body[1].lineno > (first.end_lineno or 0)
        if _is_docstring(first) and alone and first.lineno > node.lineno:
            for row in range(first.lineno, (first.end_lineno or first.lineno) + 1):
                lines[row - 1] = None
    return lines


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
