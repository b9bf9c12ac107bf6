"""What a line of JavaScript writes with `fs`, where it names the file by a literal or a constant that is one."""

from __future__ import annotations

import re

from agentsync.shell.call import Call

_STRING = r"""(?:'[^'\\\n]*'|"[^"\\\n]*"|`[^`\\$]*`)"""
_CONSTANT = re.compile(rf"\b(?:const|let|var)\s+(\w+)\s*=\s*({_STRING})\s*(?=[;,\n]|$)")
_FS = r"""(?:\bfsp?|\bfs\.promises|require\(\s*['"](?:node:)?fs(?:/promises)?['"]\s*\)(?:\.promises)?)"""
_VERBS = "writeFile|appendFile|unlink|rm|rename|copyFile|truncate|createWriteStream|symlink|cp"
_CALL = re.compile(
    rf"(?<![\w.]){_FS}\s*\.\s*({_VERBS})(?:Sync)?\s*\(\s*({_STRING}|\w+)\s*(?:,\s*({_STRING}|\w+))?\s*(?=[,)])"
)
_CALL_OPEN = re.compile(rf"(?<![\w.]){_FS}\s*\.\s*({_VERBS})(?:Sync)?\s*\(\s*({_STRING}|\w+)\s*(?=[,)])")
_COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)

_SECOND = {"copyFile": (2,), "symlink": (2,), "rename": (1, 2), "cp": (2,)}


def read(it: Call, code: str) -> None:
    """Note the files that the code writes."""
    if "fs" not in code or "chdir" in code:
        return
    code = _COMMENT.sub("", code)
    constants: dict[str, str | None] = {}
    for name, text in _CONSTANT.findall(code):
        again = len(re.findall(rf"(?<![\w.]){name}\s*(?:[-+*/|&?]{{0,2}}=(?![=>])|\+\+)", code)) > 1
        constants[name] = None if name in constants or again else text[1:-1]
    for match in _CALL_OPEN.finditer(code):
        verb = match[1]
        full = _CALL.match(code, match.start())
        given = [None, match[2], full[3] if full else None]
        for at in _SECOND.get(verb, (1,)):
            word = given[at]
            path = None if word is None else word[1:-1] if word[0] in "'\"`" else constants.get(word)
            if path:
                it.write(path, f"node fs.{verb}", tree=verb == "rm" and it.is_folder(path))
