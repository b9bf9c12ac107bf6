"""What a piece of Python writes, where it names the file by a literal, or by names that are bound to one.

The code is read in its order, not run: strings and paths that are put together from literals are known, everything else
is not. Bodies of `if`, loops and `try` count as run; functions count where they are called.
"""

from __future__ import annotations

import ast
import os
import warnings

from agentsync.shell.call import Call
from agentsync.shell.programs.pyvalues import MAX_DEPTH, Known, Names, Text, Values, dotted
from agentsync.shell.words import Word

MAX_STATEMENTS = 2_000

_HINTS = (
    "open",
    "write_",
    "unlink",
    "rename",
    "remove",
    "replace",
    "shutil",
    "touch",
    "system",
    "subprocess",
    "inplace",
)


_METHODS = {"write_text", "write_bytes", "unlink", "rename", "replace", "touch", "rmdir", "symlink_to", "hardlink_to"}
_FIRST = {
    "os.remove",
    "os.unlink",
    "os.truncate",
    "os.rmdir",
    "os.rename",
    "os.replace",
    "shutil.move",
    "shutil.rmtree",
}
_SECOND = {
    "os.rename",
    "os.replace",
    "os.symlink",
    "os.link",
    "shutil.move",
    "shutil.copy",
    "shutil.copy2",
    "shutil.copyfile",
}
_INTO = {"shutil.move", "shutil.copy", "shutil.copy2"}
_OPEN = {"open", "io.open", "codecs.open"}
_RUN = {"subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output", "subprocess.Popen"}


def read(it: Call, code: str) -> None:
    """Note the files that the code writes."""
    if not any(hint in code for hint in _HINTS):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in somebody's string is not our concern
            module = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # no program of this Python: nothing is known
    copy = it.state.copy()
    _Reading(Call(it.name, [], copy, None, None, it.out, it.run, it.script)).block(module.body, {}, 0)


class _Reading:
    def __init__(self, it: Call) -> None:
        self.it = it
        self.imported: dict[str, str] = {}
        self.values = Values(self.imported, it.state.cwd)
        self.functions: dict[str, ast.FunctionDef] = {}
        self.left = MAX_STATEMENTS

    def block(self, body: list[ast.stmt], names: Names, depth: int) -> None:
        for statement in body:
            self.left -= 1
            if depth > MAX_DEPTH or self.left < 0:
                return
            self.statement(statement, names, depth + 1)

    def statement(self, node: ast.stmt, names: Names, depth: int) -> None:
        match node:
            case ast.Import():
                self.imported.update({(one.asname or one.name): one.name for one in node.names})
            case ast.ImportFrom():
                self.imported.update({(one.asname or one.name): f"{node.module}.{one.name}" for one in node.names})
            case ast.FunctionDef():
                self.functions[node.name] = node
            case ast.ClassDef() | ast.AsyncFunctionDef():
                pass
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                self._assign(node, names, depth)
            case ast.If():
                self.expressions(node.test, names, depth)
                self._ways([node.body, node.orelse], names, depth)
            case ast.For() | ast.AsyncFor():
                self._for(node, names, depth)
            case ast.While():
                self._ways([node.body, []], names, depth)
            case ast.Try():
                self.block(node.body, names, depth)
                self._ways([node.orelse, *(handler.body for handler in node.handlers)], names, depth)
                self.block(node.finalbody, names, depth)
            case ast.With() | ast.AsyncWith():
                for item in node.items:
                    self.expressions(item.context_expr, names, depth)
                    self._forget(item.optional_vars, names)
                self.block(node.body, names, depth)
            case ast.Expr() | ast.Return():
                self.expressions(node.value, names, depth)
            case ast.Assert():
                self.expressions(node.test, names, depth)
            case _:
                self._forget(node, names)

    def _ways(self, bodies: list[list[ast.stmt]], names: Names, depth: int) -> None:
        """Branches: what they do not agree on is unknown behind them."""
        ends = []
        for body in bodies:
            ends.append(dict(names))
            self.block(body, ends[-1], depth)
        for name in {name for end in ends for name in end}:
            values = [end.get(name) for end in ends]
            names[name] = values[0] if all(value == values[0] for value in values) else None

    def _for(self, node: ast.For | ast.AsyncFor, names: Names, depth: int) -> None:
        self.expressions(node.iter, names, depth)
        items = node.iter.elts if isinstance(node.iter, ast.List | ast.Tuple | ast.Set) else []
        for item in items[:256]:
            self._bind(node.target, item, names)
            self.block(node.body, names, depth)
        if not items:
            self._forget(node.target, names)
            self._ways([node.body, []], names, depth)
        self.block(node.orelse, names, depth)

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, names: Names, depth: int) -> None:
        if node.value is not None:
            self.expressions(node.value, names, depth)
        if isinstance(node, ast.AugAssign) or node.value is None:
            self._forget(node.target if not isinstance(node, ast.Assign) else None, names)
            return
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            self._bind(target, node.value, names)

    def _bind(self, target: ast.expr, value: ast.expr, names: Names) -> None:
        if isinstance(target, ast.Name):
            names[target.id] = self.values.of(value, names)
        elif (
            isinstance(target, ast.Tuple | ast.List)
            and isinstance(value, ast.Tuple | ast.List)
            and len(target.elts) == len(value.elts)
        ):
            values = [self.values.of(one, names) for one in value.elts]
            for one, known in zip(target.elts, values, strict=True):
                self._forget(one, names)
                if isinstance(one, ast.Name):
                    names[one.id] = known
        else:
            self._forget(target, names)

    def _forget(self, node: ast.AST | None, names: Names) -> None:
        for inner in ast.walk(node) if node is not None else ():
            if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
                names[inner.id] = None

    # expressions

    def expressions(self, node: ast.expr | None, names: Names, depth: int) -> None:
        """Every call in an expression, but for those in bodies that have names of their own."""
        pending: list[ast.AST] = [] if node is None else [node]
        while pending:
            here = pending.pop()
            if isinstance(here, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                continue
            if isinstance(here, ast.Call):
                self._call(here, names, depth)
            elif isinstance(here, ast.NamedExpr):
                self._bind(here.target, here.value, names)
            pending += reversed(list(ast.iter_child_nodes(here)))

    def _call(self, node: ast.Call, names: Names, depth: int) -> None:
        name = dotted(node.func, self.imported)
        keywords = {word.arg: word.value for word in node.keywords}
        known = [self.values.of(arg, names) for arg in node.args]
        first, second = (*known, None, None)[:2]
        if name in self.functions and isinstance(node.func, ast.Name):
            self._enter(self.functions[name], known, keywords, names, depth)
        elif name in _OPEN:
            if _writes(node.args[1] if len(node.args) > 1 else keywords.get("mode")):
                self._note(first or self.values.of(keywords.get("file"), names), "open")
        elif name in _FIRST | _SECOND:
            if name in _FIRST:
                self._note(first, name, tree=True)
            if name in _SECOND:
                if second is not None and name in _INTO and self.it.is_folder(second.text):
                    second = None if first is None else Text(os.path.join(second.text, os.path.basename(first.text)))
                self._note(second, name)
        elif name == "os.chdir":
            self.values.cwd = self.it.state.cwd = None if first is None else self.it.path(first.text)
        elif name == "os.system" and first is not None:
            self.it.script(first.text, self.it.state.child())
        elif name in _RUN and "cwd" not in keywords and node.args:
            self._run(node.args[0], keywords, names)
        elif name == "fileinput.input" and isinstance(keywords.get("inplace"), ast.Constant):
            self._note(first, "fileinput")
        elif isinstance(node.func, ast.Attribute):
            self._method(node, node.func, names, keywords, first)

    def _method(
        self, node: ast.Call, func: ast.Attribute, names: Names, keywords: dict[str | None, ast.expr], first: Known
    ) -> None:
        on = self.values.of(func.value, names)
        if on is None or not on.is_path:
            return
        if func.attr in _METHODS:
            self._note(on, f"Path.{func.attr}")
            if func.attr in ("rename", "replace"):
                self._note(first, f"Path.{func.attr}")
        elif func.attr == "open" and _writes(node.args[0] if node.args else keywords.get("mode")):
            self._note(on, "Path.open")

    def _enter(
        self, body: ast.FunctionDef, known: list[Known], keywords: dict[str | None, ast.expr], names: Names, depth: int
    ) -> None:
        inner: Names = dict(names) | dict.fromkeys(arg.arg for arg in ast.walk(body.args) if isinstance(arg, ast.arg))
        inner |= dict(zip((arg.arg for arg in body.args.args), known, strict=False))
        inner |= {name: self.values.of(value, names) for name, value in keywords.items() if name in inner and name}
        self.block(body.body, inner, depth + 3)

    def _run(self, command: ast.expr, keywords: dict[str | None, ast.expr], names: Names) -> None:
        if isinstance(command, ast.List | ast.Tuple) and "shell" not in keywords:
            texts = [self.values.of(one, names) for one in command.elts]
            words: list[Word] = [one.text for one in texts if one is not None]
            if len(words) == len(texts):
                self.it.run(words, self.it.state.child(), None)
        elif "shell" in keywords and (text := self.values.of(command, names)) is not None:
            self.it.script(text.text, self.it.state.child())

    def _note(self, path: Known, how: str, *, tree: bool = False) -> None:
        if path is not None:
            self.it.write(path.text, f"python {how}", tree=tree and self.it.is_folder(path.text))


def _writes(mode: ast.expr | None) -> bool:
    """Whether a mode of `open` writes."""
    return isinstance(mode, ast.Constant) and isinstance(mode.value, str) and not set("wax+").isdisjoint(mode.value)
