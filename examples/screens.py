"""The README's pictures, `screens/*.svg`: what real commands print on a real terminal, in a repository made for it.

    python examples/screens.py [FOLDER]

Four agents work; one of them crashes. Nothing is retouched. The pictures hold text, need nothing from outside, and are
light or dark as their reader is.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from html import escape
from pathlib import Path
from typing import NamedTuple

COLUMNS, LINES = 106, 32

CELL, LINE, EDGE = 8, 19, 16
"""Pixels: the width and the height of a character's place, and the margin."""

AGENTS = {
    "backend": ("CLAUDE_CODE_SESSION_ID", "0c1d8f5e-6d0b-4b52-9d34-c8e23fa9c1d2"),
    "frontend": ("CODEX_SESSION_ID", "0199a3c1-88d4-7c11-b1a9-5e02f47d6b30"),
    "tests": ("GEMINI_SESSION_ID", "9b2e4c70-1f7a-4e0d-8a55-21c0d8e94a17"),
    "docs": ("CLAUDE_CODE_SESSION_ID", "4f6a9b13-52c7-4d08-b7e1-6a90b5d2e8f4"),
}
"""What each agent's client tells the commands that it starts."""

STORY = """\
backend  register --name backend --role "API and database"
frontend register --name frontend --role "user interface"
tests    register --name tests
docs     register --name docs --role writer
backend  lock src/api.py "src/db/**" --reason "new login endpoint"
backend  create-task "Login endpoint" --file src/api.py --priority 5
backend  create-task "Login form" --depends-on "Login endpoint" --file src/form.tsx
frontend create-task "Session cookie" --file src/cookie.py
backend  claim-task "Login endpoint"
docs     lock docs/login.md --reason "first draft"
frontend claim-task "Session cookie" --lock
tests    lock src/api.py
tests    request src/api.py --message "one missing import, then it is yours"
frontend decision "Cookies live for a week"
tests    lock tests/ --shared
"""
"""Who types what. `docs` dies afterwards; its lock is free to whoever wants it."""

PICTURES = {"status": ["status"], "watch": ["watch", "--since", "5", "--timeout", "0"]}
"""By the name of the file: a command. `backend` types it."""

LIGHT = {"2": "#6e7781", "31": "#cf222e", "32": "#116329", "33": "#7d4e00", "34": "#0550ae", "35": "#8250df"}
LIGHT |= {"36": "#1b7c83", "90": "#6e7781", "92": "#1a7f37", "93": "#633c01", "94": "#218bff", "95": "#a475f9"}
LIGHT |= {"96": "#3192aa", "text": "#1f2328", "back": "#ffffff", "edge": "#d0d7de"}
DARK = {"2": "#8b949e", "31": "#ff7b72", "32": "#3fb950", "33": "#d29922", "34": "#58a6ff", "35": "#bc8cff"}
DARK |= {"36": "#39c5cf", "90": "#8b949e", "92": "#56d364", "93": "#e3b341", "94": "#79c0ff", "95": "#d2a8ff"}
DARK |= {"96": "#56d4dd", "text": "#e6edf3", "back": "#0d1117", "edge": "#30363d"}
"""Colours by SGR code."""


class Run(NamedTuple):
    """Neighbouring characters that look alike."""

    code: str
    text: str


def main(folder: Path) -> None:
    """Play the story and write a picture of each command."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="agent-sync-screens-") as place:
        root = Path(place).resolve() / "shop"
        for path in ("src/api.py", "src/cookie.py", "docs/login.md"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text("\n", encoding="utf-8")
        subprocess.run(["git", "init", "-q", "-b", "main", str(root)], check=True)
        clients = {name: subprocess.Popen(["sleep", "600"]) for name in AGENTS}
        try:
            play(root, clients)
            for name, words in PICTURES.items():
                printed = on_a_terminal(words, root, environment("backend", clients["backend"].pid))
                picture = draw(f"agent-sync {' '.join(words)}", printed)
                (folder / f"{name}.svg").write_text(picture, encoding="utf-8")
        finally:
            for client in clients.values():
                client.kill()
                client.wait()


def play(root: Path, clients: dict[str, subprocess.Popen[bytes]]) -> None:
    """Have the agents do what the story says."""
    for line in STORY.splitlines():
        name, typed = line.split(maxsplit=1)
        env = environment(name, clients[name].pid)
        command = [sys.executable, "-m", "agentsync", *shlex.split(typed)]
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 3):  # 3: somebody else holds it, which is part of the story
            sys.exit(f"{line}: {done.stderr}")
    clients["docs"].kill()
    clients["docs"].wait()


def environment(name: str, pid: int) -> dict[str, str]:
    """What a command finds that an agent starts."""
    variable, session = AGENTS[name]
    mine = {variable: session, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    if variable.startswith("CLAUDE"):
        mine["CLAUDE_PID"] = str(pid)
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8", **mine}


def on_a_terminal(words: list[str], root: Path, env: dict[str, str]) -> str:
    """What a command prints for a person."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    command = [sys.executable, "-m", "agentsync", *words]
    process = subprocess.Popen(command, cwd=root, env=env, stdin=its, stdout=its, stderr=its)
    os.close(its)
    printed = b""
    try:
        while chunk := os.read(ours, 65536):
            printed += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(ours)
    process.wait()
    return printed.decode().replace("\r\n", "\n")


def runs(line: str) -> list[Run]:
    """A line, by looks."""
    found, code = [], "0"
    for part in re.split(r"(\x1b\[[0-9]*m)", line):
        if part.startswith("\x1b"):
            code = part[2:-1]
        elif part:
            found.append(Run(code, part))
    return found


def draw(command: str, printed: str) -> str:
    """A terminal in which a command was typed, as SVG."""
    lines = [[Run("2", "$ "), Run("1", command)], *map(runs, folded(printed.rstrip("\n")))]
    width, height = COLUMNS * CELL + 2 * EDGE, len(lines) * LINE + 2 * EDGE
    rows = []
    for number, line in enumerate(lines):
        column = 0
        for run in line:
            for word in re.finditer(r"\S+(?: \S+)*", run.text):  # apart from wide gaps, so that no font shifts a column
                x, y = EDGE + (column + word.start()) * CELL, EDGE + number * LINE + 14
                looks = f' class="c{run.code}"' if run.code != "0" else ""
                size = f'textLength="{len(word[0]) * CELL}"'
                rows.append(f'<text{looks} x="{x}" y="{y}" {size}>{escape(word[0], quote=False)}</text>')
            column += len(run.text)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>{escape(command)}</title>
<style>
text {{ font: 13px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; white-space: pre }}
.c1 {{ font-weight: bold }}
{style(LIGHT)}
@media (prefers-color-scheme: dark) {{
{style(DARK)}
}}
</style>
<rect class="back" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>
{chr(10).join(rows)}
</svg>
"""


def folded(printed: str) -> list[str]:
    """Lines as a terminal breaks them."""
    found = []
    for line in printed.split("\n"):
        plain = re.sub(r"\x1b\[[0-9]*m", "", line)
        tail = plain[COLUMNS:]
        found.append(line[: len(line) - len(tail)] if tail else line)
        found += [tail] if tail else []
    return found


def style(colours: dict[str, str]) -> str:
    """The colours as CSS."""
    text = "".join(f" .c{code} {{ fill: {colour} }}" for code, colour in colours.items() if code.isdigit())
    back = f".back {{ fill: {colours['back']}; stroke: {colours['edge']} }}"
    return f"{back} text {{ fill: {colours['text']} }}{text}"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("screens"))
