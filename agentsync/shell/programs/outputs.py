"""Programs that write the file an option names: downloads, compilers, converters."""

from __future__ import annotations

from collections.abc import Callable

from agentsync.shell.call import Call

_CC = "-o -I -L -D -U -include -isystem -x -MF -MT -MQ -arch"

OUTPUTS: dict[str, tuple[tuple[str, ...], str]] = {
    "sort": (("-o", "--output"), "-k -t -S -T --key --field-separator --output -o"),
    "shuf": (("-o", "--output"), "-n -o -i --output"),
    "iconv": (("-o", "--output"), "-f -t -o --output --from-code --to-code"),
    "pandoc": (("-o", "--output"), "-o -f -t --output --from --to --metadata -V -M --template -c -H"),
    **dict.fromkeys(("gcc", "g++", "cc", "c++", "clang", "clang++"), (("-o",), _CC)),
    "ld": (("-o",), "-o -L -l -T -m"),
    "rustc": (("-o",), "-o -C -L -l --edition --crate-type --out-dir --target"),
    "pip-compile": (("-o", "--output-file"), "-o --output-file -P --extra --python-version"),
}
"""Program: options that name what it writes, all options that take a value."""


def output(it: Call) -> None:
    """The value of the option."""
    names, valued = OUTPUTS[it.name]
    options = it.options(valued)
    if (word := options.get(*names)) is not None and word != "-" and not options.unclear:
        it.write(word, f"{it.name} {names[0]}")


_CURL = (
    "-o -d -H -X -u -A -e -b -c -F -T -m -x -K -E -w -C -D -r -z -y -Y -Q -P -U --output --output-dir --data "
    "--data-raw --data-binary --data-urlencode --header --request --user --user-agent --referer --cookie --cookie-jar "
    "--form --url --upload-file --max-time --proxy --config --cert --key --cacert --capath --write-out "
    "--continue-at --dump-header "
    "--range --retry --retry-delay --retry-max-time --connect-timeout --limit-rate --resolve --interface "
    "--json --oauth2-bearer"
)


def curl(it: Call) -> None:
    """`-o FILE`, and the last part of the address with -O."""
    options = it.options(_CURL)
    folder = options.get("--output-dir")
    if options.unclear or (folder is not None and not isinstance(folder, str)):
        return
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    for word in options.values.get("-o", []) + options.values.get("--output", []):
        if isinstance(word, str) and word != "-" and "#" not in word:
            it.write(word if word.startswith("/") else prefix + word, "curl -o")
    if options.has("-O", "--remote-name", "--remote-name-all") and not options.has("-J", "--remote-header-name"):
        for word in options.operands + options.values.get("--url", []):
            if isinstance(word, str) and (name := _last_part(word)):
                it.write(prefix + name, "curl -O")


def _last_part(address: str) -> str:
    path = address.partition("?")[0].partition("#")[0].partition("://")[2]
    name = path.rpartition("/")[2] if "/" in path else ""
    return "" if any(char in "{}[]" for char in name) else name


_WGET = (
    "-O -o -a -P -U -t -T -w -Q -l -A -R -D -I -X -i -e -B --output-document --output-file --append-output "
    "--directory-prefix --user-agent --tries --timeout --wait --header --user --password --post-data "
    "--level --input-file"
)


def wget(it: Call) -> None:
    """`-O FILE` and the log; what it names by itself gets a free name."""
    options = it.options(_WGET)
    if not options.unclear and not options.has("--spider"):
        for names in (("-O", "--output-document"), ("-o", "--output-file"), ("-a", "--append-output")):
            if (word := options.get(*names)) not in (None, "-"):
                it.write(word, f"wget {names[0]}")


RULES: dict[str, Callable[[Call], None]] = {
    **dict.fromkeys(OUTPUTS, output),
    "curl": curl,
    "wget": wget,
}
