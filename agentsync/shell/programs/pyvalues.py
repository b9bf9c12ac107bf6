"""Strings and paths that a piece of Python puts together from literals."""

from __future__ import annotations

import ast
import os

from msgspec import Struct

MAX_DEPTH = 30
MAX_TEXT = 4096


class Text(Struct, frozen=True):
    """A string that is known, or a path object."""

    text: str
    is_path: bool = False


Known = Text | None
Names = dict[str, Known]

_PATHS = {"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath"}


def dotted(node: ast.expr, imported: dict[str, str]) -> str:
    """The full name of what is called, `shutil.copy` also where only `copy` was imported; else ""."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute) and len(parts) < 4:
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join([imported.get(node.id, node.id), *reversed(parts)])


class Values(Struct):
    """Reads expressions, given what is imported and where the program runs."""

    imported: dict[str, str]
    cwd: str | None

    def of(self, node: ast.expr | None, names: Names, depth: int = 0) -> Known:
        """The string or path that an expression is, if that is known."""
        if depth > MAX_DEPTH:
            return None
        match node:
            case ast.Constant(value=str(text)) if len(text) < MAX_TEXT:
                return Text(text)
            case ast.Name(id=name):
                return names.get(name)
            case ast.JoinedStr(values=parts):
                known = [self._part(part, names, depth + 1) for part in parts]
                texts = [one.text for one in known if one is not None]
                return Text("".join(texts)) if len(known) == len(texts) else None
            case ast.BinOp(left=left, op=ast.Add() | ast.Div() as operator, right=right):
                return _together(operator, self.of(left, names, depth + 1), self.of(right, names, depth + 1))
            case ast.Call(func=func, args=args, keywords=[]):
                return self._made(dotted(func, self.imported), [self.of(arg, names, depth + 1) for arg in args])
        return None

    def _part(self, node: ast.expr, names: Names, depth: int) -> Known:
        """A piece of an f-string; formats are not known."""
        if isinstance(node, ast.FormattedValue):
            plain = node.conversion == -1 and node.format_spec is None
            return self.of(node.value, names, depth) if plain else None
        return self.of(node, names, depth)

    def _made(self, name: str, args: list[Known]) -> Known:
        texts = [arg.text for arg in args if arg is not None]
        if len(texts) < len(args):
            return None
        if name in _PATHS:
            return Text(os.path.join(*texts) if texts else ".", is_path=True)
        if name == "os.path.join" and texts:
            return Text(os.path.join(*texts))
        if name in ("str", "os.fspath") and len(texts) == 1:
            return Text(texts[0])
        if name in ("os.getcwd", "pathlib.Path.cwd") and self.cwd is not None:
            return Text(self.cwd, is_path=name != "os.getcwd")
        return None


def _together(operator: ast.operator, left: Known, right: Known) -> Known:
    """`+` of strings, `/` of paths."""
    if left is None or right is None or len(left.text) + len(right.text) > MAX_TEXT:
        return None
    if isinstance(operator, ast.Add):
        return Text(left.text + right.text) if not left.is_path and not right.is_path else None
    return Text(os.path.join(left.text, right.text), is_path=True) if left.is_path or right.is_path else None
