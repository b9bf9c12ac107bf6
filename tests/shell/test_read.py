"""What is found in a command, family by family, and what is deliberately not."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentsync.shell import read

HOME = "/home/somebody"


def found(command: str, repo: Path, cwd: str = ".") -> set[str]:
    """The paths, relative to the repository, with a slash behind trees."""
    told = read.writes(command, str(repo / cwd), HOME)
    return {write.path.replace(f"{repo}/", "").replace(str(repo), ".") + "/" * write.tree for write in told}


SHELL = {
    "echo x > a; echo y >> b; echo z >| c; d &> e; f &>> g; h >& i; j <> k": "a b c e g i k",
    "a 2> err > out < in": "err out",
    "a 2>&1 >&2 2>&- > /dev/null 2> /dev/stderr": "",
    "A=1 B=2 > only": "only",
    "cat <<EOF > x y\n$(rm z)\nEOF": "x z",
    "cat <<'EOF' > x\n$(rm z)\nEOF": "x",
    "cat <<'A' > a\n> not\nA\ncat <<'B' > b\n> not\nB\n": "a b",
    "F=src/a.py; echo x > $F; echo > ${F}.bak; echo > ${F%.py}.txt; echo > ${F##*/}": "src/a.py src/a.py.bak src/a.txt a.py",
    "echo x > $F": "",
    'F=$(mktemp); echo x > $F; rm "$F"': "",
    "F=a; F=$G; rm $F": "",
    "F=a; read F; rm $F": "",
    "F=a; source env.sh; rm $F": "",
    "F=a; bash -c 'rm $F'": "",
    'F=a; bash -c "rm $F"': "a",
    "F='a b'; rm $F; rm \"$F\"": "a b|a b",
    'F=(x y); rm "${F[@]}" ${F[1]}.z': "x y y.z",
    "if a; then F=x; else F=y; fi; rm $F": "",
    "for f in a b; do rm $f; done": "a b",
    "for f in $(ls); do rm $f; done": "",
    "while read f; do rm $f; done < list; rm q": "q",
    "rm {a,b}.{c,d} e{1..3}": "a.c a.d b.c b.d e1 e2 e3",
    "rm src/*.css 'src/*.js' nothing*": "src/style.css src/*.js nothing*",
    'rm ~/x ~other/y "~/z"': f"{HOME}/x ~/z",
    "cd src && rm a; rm b": "src/a src/b",
    "cd $X && rm a": "",
    "cd $X; rm /abs/b": "/abs/b",
    "(cd src; rm a); rm b": "src/a b",
    "cd src; cd -; rm a": "a",
    "pushd src; rm a; popd; rm b": "src/a b",
    "cd; rm a": f"{HOME}/a",
    "cd src/../lib && rm ../a": "a",
    "cd src || exit 1; rm a": "src/a",
    "a || rm b && rm c": "b c",
    "f() { rm $1; }; f a; g() { rm c; }": "a",
    "f() { f; rm a; }; f": "a",
    "eval 'rm a'; eval \"rm $X\"": "a",
    "trap 'rm -f a' EXIT": "a",
    "sudo -u root rm a; env -u X B=1 rm b; nice -n 5 rm c; timeout -k 1 5 rm d; nohup rm e &": "a b c d e",
    "env -C src rm a; command rm b; time rm c; exec rm d": "src/a b c d",
    "command -v rm; sudo -l rm a": "",
    "bash -lc 'rm a'; sh -c 'cd src && rm b' ; bash script.sh": "a src/b",
    "bash -c 'rm $1' _ a": "a",
    "ls | xargs rm; ls | xargs rm -f a; echo b c | xargs rm; echo d | xargs -I{} rm {}.x": "a b c d.x",
    "find src -name '*.css' -delete; find . -name 'x' -delete; find $D -delete": "src/style.css",
    "find src -name '*.css' -o -name '*.js' -delete": "",
    'x=$(rm a); echo "`rm b`" <(rm c) > >(tee d)': "a b c d",
    "[[ a > b ]]; (( a > b )); echo 'a > b' # > c": "",
    "rm $(git rev-parse --show-toplevel)/a $(pwd)/b": "a b",
    "echo 'unclosed; rm a": "",
    "rm a\nrm b; rm c )": "a",
    "ssh host 'rm a'; docker run x rm b; make clean; npm run build": "",
}

FILES = {
    "tee a -a b": "a b",
    "rm -rf a; rm b; rmdir c; unlink d": "a/ b c d",
    "cp a b; cp a src; cp -t src x y; cp a $B; cp $A b2": "b src/a src/x src/y b2",
    "cp -r src new; cp -r scripts/. docs": "new/ docs/build.sh docs/gen.js",
    "cp -n a src/app.py; mv -n a src/app.py": "",
    "mv a b; mv src lib": "a b src/ lib/src/",
    "mv a $B": "a",
    "ln -s a b; ln -s a src/app.py; ln -sf a src/app.py; ln -s ../x/name": "b src/app.py name",
    "install -m 755 a b; install -d c; install a src": "b src/a",
    "rsync -a src/ out/; rsync -a --delete src/ lib/; rsync -a x host:y; rsync -an src/ lib/": "out/ lib/",
    "rsync -a src docs": "docs/src/",
    "dd if=a of=b; truncate -s 0 c; touch d; touch -c nothere; shred e": "b c d",
    "chmod +x a; chown b c; mkdir -p d; ls > /dev/null": "",
    "sed -i s/a/b/ x; sed -i.bak -e s/a/b/ y; sed --in-place=~ -f p z; sed s/a/b/ q; sed -n -i p r": "x y y.bak z z~ r",
    "sed -i '' s/a/b/ x; sed -i '' -e s/a/b/ y; sed -Ei s/a/b/ z; sed -ni p w; sed -i $OPTS s/a/b/ v": "x y z w",
    'sed -i s/a/$B/ x; sed -i "s/$A/b/" y': "x y",
    "perl -pi -e 's/a/b/' x; perl -i.bak -ne print y; perl -pe 1 z; ruby -i -pe 1 w; perl -0777 -i -pe 1 v": "x y y.bak w v",
    "awk -i inplace '{print}' x; gawk -i inplace -v a=1 '{}' y; awk '{print}' z": "x y",
    "patch a.c < x; patch -p1 --dry-run <<EOF\n--- a/q\n+++ b/q\nEOF\npatch -p1 <<'EOF'\n--- a/w\n+++ b/w\n@@ -1 +1 @@\n-++ b/no\n++++ b/no\nEOF": "a.c w",
    "tar cf a.tar src; tar xf a.tar; tar xf a.tar -C src; tar xf a.tar -C .; tar tf a.tar": "a.tar src/",
    "unzip a.zip; unzip -d lib a.zip; unzip -l a.zip -d x; zip b src": "lib/ b.zip",
    "gzip a; gunzip b.gz; gzip -c c > d; xz -k e": "a a.gz b b.gz d e.xz",
    "curl -o a u; curl u; curl -sSLo b u; curl -O http://h/c?q; curl -o $D u; curl -o - u": "a b c",
    "wget u; wget -O a u; wget -qO- u; wget -O- u": "a",
    "sort -o a b; gcc -o c d.c; gcc -c e.c; go build -o f": "a c f",
    "apply_patch <<'EOF'\n*** Begin Patch\n*** Add File: a\n+x\n*** Update File: b\n*** Move to: c\n@@\n-x\n+*** Delete File: no\n*** Delete File: d\n*** End Patch\nEOF": "a b c d",
    "apply_patch \"$(cat <<'EOF'\n*** Begin Patch\n*** Add File: a\n+x\n*** End Patch\nEOF\n)\"": "a",
    "cd src && apply_patch '*** Begin Patch\n*** Delete File: a\n*** End Patch'": "src/a",
    "ed -s a <<'EOF'\n1d\nw\nEOF\ned -s b <<'EOF'\n1p\nq\nEOF": "a",
}

GIT = {
    "git checkout -- src/app.py; git checkout src/util.js; git checkout other src/style.css": "src/app.py src/util.js src/style.css",
    "git checkout .; git restore .": "./",
    "git checkout src; git -C src restore app.py": "src/ src/app.py",
    "git checkout other": "./",
    "git checkout v1.2": "./",
    "git checkout main; git checkout same; git checkout HEAD; git checkout $B": "",
    "git checkout -b new; git checkout -b new main; git switch -c x; git switch main; git checkout -p": "",
    "git checkout -b new other": "./",
    "git switch other": "./",
    "git restore --staged a; git restore --staged --worktree b; git restore -s HEAD~1 c": "b c",
    "git stash": "./",
    "git stash push -m x -- a": "a",
    "git stash pop": "./",
    "git stash list; git stash show -p; git stash drop": "",
    "git reset; git reset --soft HEAD~1; git reset HEAD a": "",
    "git reset --hard": "./",
    "git clean -n; git clean -fdn; git clean": "",
    "git clean -fdx": "./",
    "git clean -fd build": "build/",
    "git mv a b; git rm c; git rm --cached d; git rm -r src; git mv -n e f": "a b c src/",
    "git merge x": "./",
    "git merge --quit; git rebase --quit; git pull --dry-run; git fetch; git push; git commit -am x; git add .": "",
    "git rebase main": "./",
    "git cherry-pick abc": "./",
    "git -c user.name=x pull": "./",
    "git apply <<'EOF'\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\nEOF": "x",
    "git apply --check <<'EOF'\n--- a/x\n+++ b/x\nEOF": "",
    "cd src && git apply <<'EOF'\ndiff --git a/x b/y\nrename from x\nrename to y\nEOF": "x y",
    "git diff > a; git diff --output=b; git log; git show HEAD:a > c; git archive -o d HEAD": "a b c d",
    "git --git-dir=/x checkout .; git $X checkout .; git checkout --help": "",
    "git bisect good": "./",
    "git worktree add ../x; git clone x y; git init; git config a b; git submodule status": "",
}

TOOLS = {
    "black a.py; black --check b.py; black -l 100 c.py; black --diff d.py; black $OPTS e.py": "a.py c.py",
    "ruff format a.py; ruff check --fix b.py; ruff check c.py; ruff check --fix --diff d.py; ruff format --check .": "a.py b.py",
    "uv run ruff format a.py; poetry run black b.py; python -m isort c.py; uvx ruff@0.8 format d.py": "a.py b.py c.py d.py",
    "isort a.py; isort -c b.py; isort --check-only c.py; autopep8 -i d.py; autopep8 e.py; yapf -i f.py": "a.py d.py f.py",
    "prettier --write a.js; prettier b.js; npx prettier -w c.js; prettier --check d.js; yarn prettier --write e.js": "a.js c.js",
    "eslint --fix a.js; eslint b.js; npx eslint --ext .js --fix src; eslint --fix 'src/**/*.js'": "a.js src/",
    "gofmt -w a.go; gofmt -l b.go; goimports -local x -w c.go; go fmt ./...": "a.go c.go ./",
    "rustfmt a.rs; rustfmt --check b.rs; cargo fmt -- --check; clang-format -i c.c; clang-format -style=file d.c": "a.rs c.c",
    "shfmt -w a.sh; shfmt -d b.sh; shfmt -i 4 -w c.sh; terraform fmt -check d.tf; rubocop -a e.rb; rubocop f.rb": "a.sh c.sh e.rb",
    "yq -i '.a=1' a.yml; yq '.a' b.yml; biome format --write a.js; biome check b.js": "a.yml a.js",
    "npm install; npm ci; npm i -g x; npm run x; npm test; pip install x; yarn; pnpm install; cargo build": "",
    "npm install x": "package.json package-lock.json",
    "cd src && npm i -D x": "package.json package-lock.json",
    "cd web/ui && npm i x": "web/ui/package.json web/ui/package-lock.json",
    "yarn add x": "package.json yarn.lock",
    "pnpm add -D x": "package.json pnpm-lock.yaml",
    "poetry add x": "pyproject.toml poetry.lock",
    "uv add x; uv lock --check": "pyproject.toml",
    "cargo add x; cargo update --dry-run": "Cargo.toml",
    "go get x": "go.mod go.sum",
    "go mod tidy": "go.mod go.sum",
    "npm version patch": "package.json package-lock.json",
    "npm pkg set a=b": "package.json",
}

CODE = {
    "python -c \"open('a','w')\"; python3 -c \"open('b')\"; python3.12 -c \"open('c', mode='a')\"; python x.py": "a c",
    "python - <<'E'\nfrom pathlib import Path as P\np = P('src') / 'a.py'\np.write_text(p.read_text())\nP(f'{p}.bak').unlink()\nE": "src/a.py src/a.py.bak",
    "python <<'E'\nimport os, shutil as s\nos.remove('a'); os.rename('b', 'c'); s.copy('d', 'src'); s.move('e', 'f'); s.rmtree('lib')\nE": "a b c src/d e f lib/",
    "python <<'E'\n'abc'.replace('a', 'b')\nx = input()\nopen(x, 'w')\nfor p in ['a', 'b']:\n    open(p, 'w')\nfor p in x:\n    open(p, 'w')\nE": "a b",
    "python <<'E'\nif x:\n    p = 'a'\nelse:\n    p = 'b'\nopen(p, 'w')\nwith open('c', 'r+') as p: pass\nopen(p, 'w')\nE": "c",
    "python <<'E'\nopen('a', 'w'\nE": "",
    "python <<E\nopen('a', 'w').write('$X')\nE": "",
    "F=a; python <<E\nopen('$F', 'w')\nE": "a",
    "node -e \"require('fs').writeFileSync('a', '')\"; node -p \"require('fs').readFileSync('b')\"": "a",
    "node <<'E'\nconst fs = require('node:fs');\nconst p = 'a', q = `b`;\nfs.writeFileSync(p, x);\nfs.renameSync('c', 'd');\n// fs.unlinkSync('e')\nfs.appendFileSync(z, x);\nfs.copyFileSync('f', 'g');\nE": "a c d g",
    "node -e \"let p = 'a'; p = 'b'; fs.writeFileSync(p, '')\"": "",
}


@pytest.mark.parametrize(("command", "paths"), [*(SHELL | FILES | GIT | TOOLS | CODE).items()])
def test_what_a_command_writes(command: str, paths: str, repo: Path) -> None:
    known = {"a", "b", "a b"} if "|" in paths else set(paths.split())
    assert found(command, repo) == known


def test_a_tree_of_a_formatter_is_only_of_its_language(repo: Path) -> None:
    (write,) = read.writes("black .", str(repo))
    assert write.covers(f"{repo}/src/app.py")
    assert not write.covers(f"{repo}/package.json")
    assert not write.covers(f"{repo}x/app.py")


def test_the_words_for_a_message_name_the_program(repo: Path) -> None:
    told = read.writes("echo > a; sed -i s/a/b/ b; git checkout -- c; python -c \"open('d','w')\"", str(repo))
    assert [write.how for write in told] == ["a redirection", "sed -i", "git checkout", "python open"]


def test_home_is_known_only_when_it_is_given(repo: Path) -> None:
    assert read.writes("rm ~/x $HOME/y", str(repo)) == ()


def test_parent_folders_are_resolved_unless_a_link_is_before_them(tmp_path: Path) -> None:
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/away")
    told = read.writes("rm link/../x far/../y", str(tmp_path))
    assert [write.path for write in told] == [f"{tmp_path}/link/../x", f"{tmp_path}/y"]


def test_codex_patches_are_read_as_such() -> None:
    assert read.patch_paths("*** Begin Patch\n*** Add File: a b\n+x\n*** End Patch") == ("a b",)
    assert read.patch_paths("--- a\n+++ b\n") is None
