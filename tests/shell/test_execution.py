"""The reader against the shell itself: commands are run in a scratch folder, and what changed is compared.

Nothing may be reported that did not change, and what changed must have been reported. Where that cannot be, the case
says so (`over`: reported, as it might have changed). What is never found is listed in README.md.
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from agentsync.shell import read

SCRIPTS = 25 * int(os.environ.get("AGENTSYNC_ROUNDS", "4"))

FILES = (
    "a.txt",
    "b.txt",
    "c.py",
    "sub/d.txt",
    "sub/e f.txt",
    "sub/deep/g.txt",
    "it's.txt",
    "h-i_j.txt",
    "ü.txt",
    "sub/k[1].txt",
)

Seen = dict[str, tuple[int, int, int, bytes]]


def look(root: Path) -> Seen:
    """Every file below, with what tells a change."""
    found: Seen = {}
    for folder, folders, names in os.walk(root):
        if ".git" in folders:
            folders.remove(".git")
        for name in names:
            path = Path(folder, name)
            stat = path.lstat()
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            found[str(path)] = (stat.st_ino, stat.st_mtime_ns, stat.st_size, content)
    return found


def fill(root: Path) -> None:
    for name in FILES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"one {name}\n")
        os.utime(path, (1_000_000_000, 1_000_000_000))


def run(command: str, root: Path, home: Path) -> set[str]:
    """Run the command; returns the files that changed."""
    before = look(root)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    done = subprocess.run(
        ["bash", "-c", command], cwd=root, env=env, capture_output=True, timeout=60, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, (command, done.stderr)
    after = look(root)
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def compare(command: str, root: Path, home: Path, *, over: bool = False) -> None:
    told = read.writes(command, str(root), str(home))
    changed = run(command, root, home)
    missed = {path for path in changed if not any(write.covers(path) for write in told)}
    assert not missed, command
    idle = {write.path for write in told if not any(write.covers(path) for path in changed)}
    assert bool(idle) == over, (command, idle)


WRITERS = (
    "echo x > {p}",
    "echo x >> {p}",
    "echo x >| {p}",
    "echo x &> {p}",
    "echo x 2> {p}",
    ": > {p}",
    "> {p}",
    "cat < /dev/null > {p}",
    "printf 'y' | tee {p}",
    "printf 'y' | tee -a {p} > /dev/null",
    "sed -i 's/one/ONE/' {p}",
    "sed -i -e 's/one/ONE/' -e 's/O/0/' {p}",
    "sed -Ei.bak 's/one/ONE/' {p}",
    "perl -pi -e 's/one/ONE/' {p}",
    "touch {p}",
    "truncate -s 0 {p}",
    "dd if=/dev/zero of={p} bs=1 count=3 2>/dev/null",
    "rm {p}",
    "rm -f {p}",
    "unlink {p}",
    "cp {p} {n}",
    "cp -f {p} {n}",
    "mv {p} {n}",
    "mv -f -- {p} {n}",
    "ln -s {p} {n}",
    "ln -sf /etc/hostname {p}",
    "install -m 600 {p} {n}",
    "gzip {p}",
    "cat > {p} <<'EOF'\nx $HOME `y`\nEOF",
    "cat <<EOF >> {p}\nx $HOME\nEOF",
    "cat <<-EOF | tee {p} > /dev/null\n\tx\n\tEOF",
    'F={p}; echo z > "$F"',
    'F={p}\ntouch "${{F}}"',
    'for f in {p}; do echo q >> "$f"; done',
    'for f in {p} {n}; do touch "$f"; done',
    'w() {{ echo w > "$1"; }}; w {p}',
    "if true; then touch {p}; fi",
    "if [ -n x ]; then echo x > {p}; else :; fi",
    "[[ a == a ]] && touch {p}",
    "case x in x) touch {p};; esac",
    "i=0; while [ $i -lt 2 ]; do i=$((i + 1)); echo $i >> {p}; done",
    "{{ echo a; echo b; }} > {p}",
    "(echo a; echo b) > {p}",
    "env A=1 touch {p}",
    "nice -n 1 touch {p}",
    "timeout 5 touch {p}",
    "command touch {p}",
    "exec 3> {p}; echo x >&3; exec 3>&-",
    "x=$(echo y | tee {p})",
    "echo $(touch {p})",
    "true || false && touch {p}",
    "! false && touch {p}",
    "trap '' USR1; touch {p}",
    'A=(x {p}); touch "${{A[1]}}"',
    "set -- x; touch {p} # not > here",
    "touch \\\n  {p}",
    "sort -o {p} {p}",
    "echo x | sed 's/x/y/' > {p}",
    "find . -name nothing -delete; touch {p}",
)

NESTED = (
    "bash -c {q}",
    "bash -ec {q}",
    "eval {q}",
    "bash <<'EOS'\n{c}\nEOS",
    "( {c}\n)",
    "{{ {c}\n}}",
    "if :; then {c}\nfi",
    "f() {{ {c}\n}}; f",
)

READERS = (
    "cat {p} > /dev/null",
    "grep -c one {p} 2>/dev/null || true",
    "sed 's/one/two/' {p}",
    "sed -n 1p {p} 2>&1",
    "cp {p} /dev/null",
    "echo '>' {p}",
    "echo 'rm -f b.txt'",
    "wc -l < {p}",
    "diff {p} {p}",
    "[ -f {p} ]",
    "[[ {p} > a ]] || true",
    "(( 3 > 2 ))",
    "head -1 {p} | tr a-z A-Z | sort -u",
    "find . -type f -name '*.txt' | wc -l",
    "awk 'NR > 1 {{ print }}' {p}",
    "python3 -c \"print(open('b.txt').read())\" || true",
    "dd if={p} of=/dev/null 2>/dev/null",
    "cat <<'EOF'\nrm {n}; echo > {n}\nEOF",
    "g() {{ rm -rf /; }}",
    "# rm {p}",
    "tar cf - {p} | wc -c",
    "test -e {n} && rm {n}_ || :",
)
"""Some name files that they would write if they were read carelessly. The last is told about, as it may run."""


def spelled(path: str, here: str, rng: random.Random) -> str:
    """One of the ways to name a file from the folder `here`."""
    relative = os.path.relpath(path, here)
    ways = [shlex.quote(relative), shlex.quote("./" + relative), shlex.quote(path)]
    if "'" not in relative:
        ways += [f'"{relative}"', '"$PWD"/' + shlex.quote(relative)]
    ways.append("".join(char if char.isalnum() or char in "./_" else "\\" + char for char in relative))
    return rng.choice(ways)


def script(root: Path, rng: random.Random) -> str:
    """A few commands that all succeed, each on a file of its own."""
    free = [str(root / name) for name in FILES]
    rng.shuffle(free)
    parts: list[str] = []
    here = str(root)
    for number in range(rng.randint(2, 6)):
        if rng.random() < 0.2:
            here = str(root / "sub") if here == str(root) else str(root)
            way = shlex.quote(os.path.relpath(here, str(root / "sub"))) if here == str(root) else "sub"
            parts.append(rng.choice((f"cd {way}", f"pushd {way} >/dev/null", f'cd "{here}"')))
        path = free.pop()
        pattern = rng.choice(WRITERS if rng.random() < 0.7 else READERS[:-1])
        new = os.path.join(os.path.dirname(path), f"new {number}.txt")
        one = pattern.format(p=spelled(path, here, rng), n=shlex.quote(os.path.relpath(new, here)))
        if rng.random() < 0.25 and "#" not in one:
            nest = rng.choice(NESTED)
            one = nest.format(q=shlex.quote(one), c=one)
        parts.append(one)
    return "\n".join(parts)


@pytest.mark.parametrize("seed", range(SCRIPTS))
def test_of_a_script_exactly_what_changes_is_reported(seed: int, tmp_path: Path) -> None:
    root = tmp_path / "w"
    fill(root)
    compare(script(root, random.Random(seed)), root, tmp_path)


@pytest.mark.parametrize("pattern", WRITERS)
def test_each_way_to_write_is_found(pattern: str, tmp_path: Path) -> None:
    for name in ("a.txt", "sub/e f.txt", "it's.txt"):
        root = tmp_path / name.replace("/", "_")
        fill(root)
        compare(pattern.format(p=shlex.quote(name), n=shlex.quote(name + ".new")), root, tmp_path)


@pytest.mark.parametrize("pattern", READERS)
def test_each_way_to_read_changes_and_reports_nothing(pattern: str, tmp_path: Path) -> None:
    fill(tmp_path / "w")
    compare(pattern.format(p="a.txt", n="new"), tmp_path / "w", tmp_path, over=pattern is READERS[-1])


MORE = (
    "cp -r sub copy",
    "cp -r sub/. new",
    "cp -rT sub other",
    "mkdir into && cp -r sub a.txt into",
    "mv sub moved",
    "rm -r sub",
    "rm -rf sub/*",
    "rm *.txt",
    "touch *.txt sub/*.txt",
    "touch {a,b}.txt sub/{d,new}.txt n{1..3}",
    'for f in *.txt; do mv "$f" "${f%.txt}.md"; done',
    "find . -name '*.py' -exec sed -i s/one/two/ {} +",
    "find sub -type f -name '*.txt' -delete",
    "find . -maxdepth 1 -name '?.txt' -exec touch {} \\;",
    "printf '%s\\n' a.txt c.py | xargs sed -i s/one/two/",
    "echo a.txt c.py | xargs -n1 touch",
    "echo a.txt | xargs -I{} cp {} {}.copy",
    "tar cf out.tar a.txt && mkdir x && tar xf out.tar -C x",
    "zip -q out.zip a.txt || tar cf out.zip a.txt",
    "python3 -c \"open('a.txt', 'w').write('x')\"",
    "python3 - <<'EOF'\nimport re\np = 'a.txt'\ns = open(p).read()\nopen(p, 'w').write(re.sub('one', 'two', s))\nEOF",
    "python3 <<'EOF'\nfrom pathlib import Path\nfor name in ['a.txt', 'c.py']:\n    path = Path('.') / name\n    path.write_text(path.read_text() + 'x')\nEOF",
    "python3 - <<'EOF'\nimport os, shutil\nos.rename('a.txt', 'z.txt')\nshutil.copy('b.txt', 'sub')\nshutil.move('c.py', 'sub/c.py')\nos.remove('sub/d.txt')\nEOF",
    "python3 -c \"import subprocess; subprocess.run(['sed', '-i', 's/one/two/', 'a.txt'], check=True)\"",
    "python3 -c \"import os; os.chdir('sub'); os.system('echo x > d.txt')\"",
    "python3 - <<'EOF'\ndef edit(path, old, new='two'):\n    with open(path) as f:\n        text = f.read()\n    with open(path, 'w') as f:\n        f.write(text.replace(old, new))\nedit('a.txt', 'one')\nedit('sub/d.txt', old='one')\nEOF",
    "patch -p1 <<'EOF'\n--- a/a.txt\n+++ b/a.txt\n@@ -1 +1 @@\n-one a.txt\n+two a.txt\nEOF",
    "printf -- '--- b.txt\\n+++ b.txt\\n@@ -1 +1 @@\\n-one b.txt\\n+x\\n' > p.diff; patch -p0 b.txt < p.diff",
    "echo x | tee sub/new.txt sub/d.txt > /dev/null",
    "cd sub && sed -i s/one/two/ d.txt && cd .. && touch a.txt",
    "(cd sub && touch d.txt); touch b.txt",
    "(cd sub/deep && touch g.txt ../d.txt)",
    "mkdir -p n/m && cd n/m && echo x > ../y && cd - >/dev/null && touch a.txt",
    "rsync -a sub/ mirror/ 2>/dev/null || cp -r sub mirror",
    "echo x > ~/w/a.txt",
    "cp a.txt b.txt sub/",
    "cp -t sub a.txt c.py",
    "ln -s a.txt l && ln -sfn b.txt l",
    "install -D -m 644 a.txt deep/er/b.txt",
    "cp -n a.txt b.txt; cp -n a.txt brandnew",
    'set -e; A=sub; B=$A/d; touch "$B.txt"',
    "X=a; X+=.txt; touch $X",
    'touch "${UNSET:-}a.txt" 2>/dev/null || touch a.txt',
    "rm sub/k*",
    "rm 'sub/k[1].txt'",
    "exec > log; echo hi",
    "sh -c 'touch a.txt'",
)


@pytest.mark.parametrize("command", MORE)
def test_harder_commands_are_read_as_the_shell_reads_them(command: str, tmp_path: Path) -> None:
    fill(tmp_path / "w")
    compare(command, tmp_path / "w", tmp_path)


GIT = {
    "git restore a.txt": False,
    "git checkout -- a.txt c.py": False,
    "git checkout HEAD a.txt": False,
    "git checkout .": False,
    "git restore .": False,
    "git -C sub restore d.txt": False,
    "cd sub && git checkout -- d.txt": False,
    "git stash -q": False,
    "git stash -q && git stash pop -q": False,
    "git stash push -q -- a.txt": False,
    "git reset -q --hard": False,
    "git clean -fdq": False,
    "git clean -fq new": False,
    "git mv b.txt moved.txt": False,
    "git rm -qf a.txt": False,
    "git checkout -q -f other": False,
    "git apply p.diff": False,
    "git apply < p.diff": False,
    "git stash -q && git merge -q other": False,
    "git stash -q && git cherry-pick other >/dev/null": False,
    "git checkout -q same": False,
    "git checkout -q -b fresh": False,
    "git switch -q -c fresh": False,
    "git switch -q main": False,
    "git restore --staged a.txt": False,
    "git reset -q": False,
    "git add -A && git commit -qm x": False,
    "git rm -q --cached a.txt": False,
    "git clean -ndq": False,
    "git diff > out.diff": False,
    "git log --output=log.txt -1": False,
    "git stash list && git status --short && git branch -a && git show --stat": False,
    "git apply --check p.diff": False,
    "git fetch -q . main": False,
    "git tag v1 && git branch topic && git branch -D topic": False,
    # reported, though nothing happens to differ:
    "git restore b.txt": True,
    "git stash -q && git reset -q --hard && git stash drop -q": False,
    "git merge -q same": True,
    "git checkout -q v0": True,
}
"""Commands, and whether the report is of more than what changes."""


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("command", GIT)
def test_git_changes_what_is_reported(command: str, tmp_path: Path) -> None:
    root = tmp_path / "w"
    fill(root)
    setup = (
        "git init -q -b main && git add -A && git commit -qm one && git tag -a v0 -m v0 && git branch same && git checkout -q -b other"
        " && echo more > more.txt && git add -A && git commit -qm two && git checkout -q main && echo two >> a.txt"
        " && git diff > ../p.diff && git checkout -q a.txt && cp ../p.diff ."
        + (
            ""
            if "apply" in command
            else " && echo dirty >> a.txt && echo dirty >> c.py && echo dirty >> sub/d.txt && echo x > new"
        )
    )
    run(setup, root, tmp_path)
    for path in look(root):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    run("git status", root, tmp_path)  # it looks at the times, too
    compare(command, root, tmp_path, over=GIT[command])
