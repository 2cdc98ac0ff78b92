from __future__ import annotations

import functools
import importlib.util
import itertools
import linecache
import math
import os
import re
import subprocess
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench
from workbench.engine import fingerprint as fingerprint_module
from workbench.engine.fingerprint import Unfingerprintable, fingerprint, source_tree

Load = Callable[..., types.ModuleType]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Import text as a module of its own."""
    count = itertools.count()
    names = []

    def load(text: str, name: str = "", **variables: Any) -> types.ModuleType:
        name = name or f"user_module_{next(count)}"
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(text))
        linecache.checkcache(str(path))
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        names.append(name)
        vars(module).update(variables)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in names:
        sys.modules.pop(name, None)


BASE = """
def is_taxi(image, limit=0.5):
    mean = image.mean()
    return mean > limit
"""


def same(load: Load, first: str, second: str, **variables: Any) -> bool:
    a, b = (fingerprint(load(text, **variables).is_taxi) for text in (first, second))
    assert len(a) == len(b) == 64
    return a == b


@pytest.mark.parametrize(
    "text",
    [
        BASE,
        "\n\n\n\nX = 1\n" + BASE,
        """
        # a comment
        def is_taxi(
            image,
            limit=0.5,   # which limit
        ):
            mean = (image
                    .mean())

            # and another
            return mean > limit
        """,
        """
        def is_taxi(image, limit=0.5):
            "Whether it is one."
            mean = image.mean()
            return mean > limit
        """,
        """
        HALF = 0.5
        def is_taxi(image, limit=HALF):
            mean = image.mean()
            return mean > limit
        """,
        """
        def keep(function):
            return function
        @keep
        def is_taxi(image, limit=0.5):
            mean = image.mean()
            return mean > limit
        """,
    ],
)
def test_comments_layout_place_docstring_and_decorators_do_not_count(load: Load, text: str) -> None:
    assert same(load, BASE, text)


def test_the_text_counts_beside_an_import_too(load: Load) -> None:
    # Python compiles math.sqrt(...) in another way where the same file imports math
    text = "import math\ndef is_taxi(a):\n    return math.sqrt(a) + 1\n"
    assert same(load, text, text.replace("math.sqrt(a) + 1", "(math\n        .sqrt(a)) + 1  # a root"))
    assert not same(load, text, text.replace("sqrt", "cos"))
    assert source_tree(load(text).is_taxi) is not None
    stale = load(text)
    linecache.cache[stale.__file__] = (0, None, ["def is_taxi(a):\n", "    return 7\n"], stale.__file__)
    assert source_tree(stale.is_taxi) is None


@pytest.mark.parametrize(
    "text",
    [
        BASE.replace("mean > limit", "mean >= limit"),
        BASE.replace("0.5", "0.6"),
        BASE.replace(", limit=0.5", ", *, limit=0.5"),
        BASE.replace("image.mean()", "image.max()"),
        BASE.replace("    mean = image.mean()\n", "    mean = image.mean()\n    mean += 0\n"),
    ],
)
def test_body_and_defaults_count(load: Load, text: str) -> None:
    assert not same(load, BASE, text)


GLOBAL = """
LIMIT = 0.5
def is_taxi(image):
    return image.mean() > LIMIT
"""


def test_globals_read_count_and_others_do_not(load: Load) -> None:
    assert not same(load, GLOBAL, GLOBAL.replace("0.5", "0.6"))
    assert same(load, GLOBAL, GLOBAL + "\nOTHER = 3\n")
    module = load(GLOBAL)
    before = fingerprint(module.is_taxi)
    module.LIMIT = 0.7
    assert fingerprint(module.is_taxi) != before
    module.LIMIT = 0.5
    assert fingerprint(module.is_taxi) == before


HELPER = """
SCALE = 2
def helper(value):
    return value * SCALE
def is_taxi(image):
    return [helper(row) for row in image]
"""


def test_helper_functions_count_and_what_they_read(load: Load) -> None:
    assert not same(load, HELPER, HELPER.replace("value * SCALE", "value + SCALE"))
    assert not same(load, HELPER, HELPER.replace("SCALE = 2", "SCALE = 3"))
    assert same(load, HELPER, HELPER.replace("def helper(value):", "def helper(value):  # helps"))


CLOSURE = """
def make(limit):
    def is_taxi(image):
        return image.mean() > limit
    return is_taxi
is_taxi = make(0.5)
"""


def test_closures_count(load: Load) -> None:
    assert same(load, CLOSURE, "\n# moved\n" + CLOSURE)
    assert not same(load, CLOSURE, CLOSURE.replace("make(0.5)", "make(0.6)"))
    assert not same(load, CLOSURE, CLOSURE.replace("mean() > limit", "mean() < limit"))


def test_functions_that_call_each_other(load: Load) -> None:
    text = """
    def even(n):
        return n == 0 or odd(n - 1)
    def odd(n):
        return n != 0 and even(n - 1)
    is_taxi = even
    """
    assert same(load, text, text)
    assert not same(load, text, text.replace("n != 0", "n > 0"))


def test_a_module_of_the_user_counts_by_what_is_read_of_it(load: Load) -> None:
    helpers = "def used(x):\n    return x + 1\ndef unused(x):\n    return x\nLIMIT = 3\n"
    text = "import helpers_of_user\ndef is_taxi(x):\n    return helpers_of_user.used(x)\n"

    def value(changed: str) -> str:
        load(changed, name="helpers_of_user")
        return fingerprint(load(text).is_taxi)

    first = value(helpers)
    assert value(helpers.replace("return x\n", "return -x\n")) == first
    assert value(helpers.replace("LIMIT = 3", "LIMIT = 4")) == first
    assert value(helpers.replace("x + 1", "x + 2")) != first


def test_versions_of_installed_modules_count(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import numpy as np\ndef is_taxi(x):\n    return np.linalg.norm(x)\n"
    function = load(text).is_taxi
    before = fingerprint(function)
    monkeypatch.setattr(np, "__version__", "99.0")
    assert fingerprint(function) != before


def test_imports_in_the_body_count(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    function = load("def is_taxi(x):\n    from numpy.linalg import norm\n    return norm(x)\n").is_taxi
    before = fingerprint(function)
    monkeypatch.setattr(np, "__version__", "99.0")
    assert fingerprint(function) != before
    missing = load("def is_taxi(x):\n    import no_such_module\n    return x\n").is_taxi
    assert fingerprint(missing) == fingerprint(missing)


def test_classes_of_the_user_count(load: Load) -> None:
    text = """
    class Base:
        scale = 2
    class Judge(Base):
        def __init__(self, limit):
            self.limit = limit
        @property
        def half(self):
            return self.limit / 2
        @staticmethod
        def twice(x):
            return 2 * x
    def is_taxi(image):
        return Judge(3).half < image
    """
    assert same(load, text, text.replace("class Judge(Base):", "class Judge(Base):\n        # comment"))
    for old, new in [
        ("scale = 2", "scale = 3"),
        ("limit / 2", "limit / 3"),
        ("2 * x", "3 * x"),
        ("Judge(3)", "Judge(4)"),
    ]:
        assert not same(load, text, text.replace(old, new))


def test_arrays_and_nested_data_count() -> None:
    def make(table: Any) -> Callable[[int], Any]:
        return lambda row: table[row]

    a, b = np.arange(5), np.arange(5)
    assert fingerprint(make(a)) == fingerprint(make(b))
    b[3] = 0
    assert fingerprint(make(a)) != fingerprint(make(b))
    assert fingerprint(make({"x": [1, a]})) != fingerprint(make({"x": [1, b]}))
    assert fingerprint(make(re.compile("a"))) != fingerprint(make(re.compile("b")))
    assert fingerprint(make(types.SimpleNamespace(a=1))) != fingerprint(make(types.SimpleNamespace(a=2)))


def test_what_cannot_be_told_is_named(load: Load) -> None:
    module = load("model = object()\ndef inner(x):\n    return model(x)\ndef is_taxi(x):\n    return inner(x)\n")
    with pytest.raises(Unfingerprintable) as caught:
        fingerprint(module.is_taxi)
    assert caught.value.name == "model"
    assert str(caught.value) == "'model' cannot be fingerprinted"

    weights = object()

    def closed(x: Any, extra: Any = None) -> Any:
        return weights

    with pytest.raises(Unfingerprintable, match="weights"):
        fingerprint(closed)
    with pytest.raises(Unfingerprintable, match="extra"):
        fingerprint(lambda x, extra=weights: x)


def test_lambdas_on_one_line_are_told_apart() -> None:
    pair = [lambda x: x + 1, lambda x: x + 2]  # fmt: skip
    again = [lambda x: x + 1, lambda x: x + 2]  # fmt: skip
    assert fingerprint(pair[0]) == fingerprint(again[0])
    assert fingerprint(pair[0]) != fingerprint(pair[1])


def test_partials_methods_builtins_and_wrappers() -> None:
    assert fingerprint(functools.partial(math.pow, 2)) != fingerprint(functools.partial(math.pow, 3))
    assert fingerprint(functools.partial(int, base=2)) != fingerprint(functools.partial(int, base=3))
    assert fingerprint(len) != fingerprint(abs)
    assert fingerprint(np.sqrt) != fingerprint(np.exp)
    assert fingerprint(np.mean) != fingerprint(np.median)
    assert fingerprint("abc".startswith) != fingerprint("abd".startswith)

    @functools.lru_cache
    def cached(x: int) -> int:
        return x + 1

    def plain(x: int) -> int:
        return x + 1

    assert fingerprint(cached) == fingerprint(plain)


def test_functions_without_source() -> None:
    def make(text: str) -> Any:
        namespace: dict[str, Any] = {}
        exec(compile(text, "<nowhere>", "exec"), namespace)
        return namespace["f"]

    first = make("def f(x):\n    return x + 1\n")
    assert fingerprint(first) == fingerprint(make("\n\n# comment\ndef f(x):\n    'doc'\n    return (x + 1)\n"))
    assert fingerprint(first) != fingerprint(make("def f(x):\n    return x + 2\n"))
    assert fingerprint(first) != fingerprint(make("def f(x):\n    return x - 1\n"))
    inner = "def f(x):\n    def g(y):\n        return y * {}\n    return g(x)\n"
    assert fingerprint(make(inner.format(2))) != fingerprint(make(inner.format(3)))


def test_a_file_edited_after_its_import_does_not_deceive(load: Load) -> None:
    module = load(BASE)
    before = fingerprint(module.is_taxi)
    path = Path(module.__file__ or "")
    path.write_text(BASE.replace("mean > limit", "mean < limit"))
    os.utime(path, (1, 1))
    linecache.checkcache(str(path))
    # What runs is the old code: it may not be taken for the new one.
    edited = fingerprint(module.is_taxi)
    assert edited != fingerprint(load(BASE.replace("mean > limit", "mean < limit")).is_taxi)
    path.write_text(BASE)
    linecache.checkcache(str(path))
    assert fingerprint(module.is_taxi) == before


def test_the_source_is_what_is_hashed(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain functions, closures and lambdas do not fall back to bytecode, which differs between Python versions."""
    texts = [BASE, GLOBAL, HELPER, CLOSURE, "is_taxi = lambda x, y=3: x + y\n", "async def is_taxi(x):\n    return x\n"]
    texts.append("def is_taxi(x):\n    return [f'{y:>{x}}' for y in x if (z := y)] or {1: 'a', **x}\n")
    for text in texts:
        assert fingerprint_module._body(load(text).is_taxi)[0] == "source"


def test_the_same_in_another_process(load: Load, tmp_path: Path) -> None:
    module = load(HELPER + "LABELS = {'car', 'bus'}\ndef is_it(x):\n    return x in LABELS and is_taxi(x)\n")
    code = (
        "from workbench.engine.fingerprint import fingerprint;"
        f"from {module.__name__} import is_it; print(fingerprint(is_it))"
    )
    path = os.pathsep.join([str(Path(workbench.__file__).parents[1]), str(tmp_path)])
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {fingerprint(module.is_it)}
