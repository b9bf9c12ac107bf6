"""The team's settings: what is not understood warns and changes nothing."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentsync.core.policy import DEFAULT, MAX_MINUTES, Config, from_table


def test_an_empty_table_is_the_default() -> None:
    assert from_table({}) == (DEFAULT, [])


def test_every_setting_can_be_set() -> None:
    table = tomllib.loads("""
        auto_lock = false
        worktrees = "deny"
        stale_minutes = 5
        offline_minutes = 30
        ttl_minutes = 90
        auto_lock_minutes = 20

        [paths]
        ignore = ["dist/**", "*.log"]
        shared = ["CHANGELOG.md"]
        required = ["migrations/**"]
    """)
    assert from_table(table) == (
        Config(
            auto_lock=False,
            worktrees="deny",
            stale_minutes=5,
            offline_minutes=30,
            ttl_minutes=90,
            auto_lock_minutes=20,
            ignore=("dist/**", "*.log"),
            shared=("CHANGELOG.md",),
            required=("migrations/**",),
        ),
        [],
    )


@pytest.mark.parametrize("key", ["stale_minutes", "offline_minutes", "ttl_minutes", "auto_lock_minutes"])
@pytest.mark.parametrize("value", [1, MAX_MINUTES])
def test_minutes_may_be_anything_sensible(key: str, value: int) -> None:
    config, warnings = from_table({key: value})
    assert (getattr(config, key), warnings) == (value, [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("autolock", True),
        ("lock", {"ttl": 5}),
        ("ignore", ["*.log"]),  # belongs in [paths]
        ("auto_lock", "yes"),
        ("auto_lock", 1),
        ("worktrees", "refuse"),
        ("worktrees", ["deny"]),
        ("worktrees", True),
        ("ttl_minutes", 0),
        ("ttl_minutes", -1),
        ("ttl_minutes", MAX_MINUTES + 1),
        ("ttl_minutes", 1.5),
        ("ttl_minutes", "60"),
        ("ttl_minutes", True),
        ("stale_minutes", None),
        ("paths", ["*.log"]),
        ("paths", "*.log"),
    ],
)
def test_what_is_not_understood_warns_and_changes_nothing(key: str, value: object) -> None:
    config, (warning,) = from_table({key: value})
    assert config == DEFAULT
    assert warning.startswith(f"{key} = {value!r}")


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("ignored", ["*.log"]),
        ("ignore", "*.log"),
        ("ignore", ["*.log", 5]),
        ("ignore", [""]),
        ("ignore", ["{a,b}" * 7]),
        ("shared", {"a": 1}),
        ("required", None),
    ],
)
def test_a_table_of_paths_that_is_not_understood_leaves_the_others(name: str, patterns: object) -> None:
    config, (warning,) = from_table({"paths": {name: patterns, "shared" if name != "shared" else "ignore": ["ok"]}})
    assert config in (Config(shared=("ok",)), Config(ignore=("ok",)))
    assert warning.startswith(f"paths.{name} = ")


def test_one_bad_entry_does_not_spoil_the_rest() -> None:
    config, warnings = from_table({"ttl_minutes": 0, "worktrees": "deny", "nonsense": 1})
    assert config == Config(worktrees="deny")
    assert len(warnings) == 2


toml = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
settings_tables = st.dictionaries(
    st.sampled_from(["auto_lock", "worktrees", "stale_minutes", "ttl_minutes", "paths"]) | st.text(max_size=8),
    toml | st.dictionaries(st.sampled_from(["ignore", "shared", "required"]), toml, max_size=3),
    max_size=5,
)


@given(settings_tables)
def test_no_table_breaks_anything(table: dict[str, object]) -> None:
    config, warnings = from_table(table)
    assert config.class_of("src/a.py") in ("ignore", "shared", "required", "plain")
    assert config.ttl_minutes > 0
    assert all(isinstance(warning, str) for warning in warnings)


# ---------------------------------------------------------------- what is said about a path
TEAM = Config(
    ignore=("dist/**", "**/*.log", "docs/generated/*"),
    shared=("CHANGELOG.md", "docs/**"),
    required=("migrations/**", "docs/LICENSE", "{a,b}.lock"),
)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("src/a.py", "plain"),
        ("dist/x/y.js", "ignore"),
        ("dist", "plain"),
        ("src/x/y.log", "ignore"),
        ("CHANGELOG.md", "shared"),
        ("src/CHANGELOG.md", "plain"),
        ("migrations/0001.sql", "required"),
        ("b.lock", "required"),
        ("docs/generated/x.md", "shared"),  # the stricter word wins
        ("docs/LICENSE", "required"),
        ("/elsewhere/x.log", "plain"),
    ],
)
def test_patterns_say_what_a_path_is(path: str, said: str) -> None:
    assert TEAM.class_of(path) == said


def test_nothing_is_said_by_default() -> None:
    assert DEFAULT.class_of("src/a.py") == "plain"


@pytest.mark.parametrize("path", ["migrations/0001.sql", "migrations/x/0002.sql"])
def test_a_directory_stands_for_what_is_below_it(path: str) -> None:
    config, warnings = from_table({"paths": {"required": ["migrations/"]}})
    assert config.class_of(path) == "required" or warnings  # never silently nothing
