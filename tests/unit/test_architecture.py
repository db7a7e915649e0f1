"""The rules that keep the design: which module may import which, and who may touch the outside."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import sdcpu

PACKAGE = Path(sdcpu.__file__).parent
TRAINING = Path(__file__).parents[2] / "training"
MOST_LINES = 400

LAYERS = (
    {"binding", "errors", "figures", "instruction_sets", "whole_file"},
    {"canvas", "events", "images", "recipe", "inputs", "settings", "tensors", "native"}
    | {"templates", "wildcards", "styles", "picture_names"}
    | {"sampling", "step_cache"}
    | {"videos", "video_files", "native_videos"}
    | {"hardware", "gpus", "kernels", "measurements", "protocol", "stopwatch"}
    | {"placement"}
    | {
        "registry",
        "families",
        "gguf_file",
        "safetensors_file",
        "weights",
        "identification",
        "models",
        "models_file",
        "loras",
        "embeddings",
    },
    {
        "local_models",
        "builds",
        "downloads",
        "buffers",
        "memory",
        "card_memory",
        "card_ways",
        "quality",
        "video_rules",
        "fitting",
        "build_choice",
        "plan",
        "demo",
        "accel",
        "default_model",
        "tuning",
        "enlargement",
        "second_pass",
        "upscaler_files",
        "variants",
    },
    {"process", "child", "crash_report"},
    {
        "generator",
        "one_call",
        "remote",
        "catalog",
        "adapters",
        "control_nets",
        "jobs",
        "video_jobs",
        "video_order",
        "series",
        "batch",
        "grid",
        "quantization",
        "report",
        "trials",
        "proving",
        "engine_choice",
        "engine_run",
        "order",
        "start_pictures",
        "upscaler",
    },
    {"job_queue"},
    {"server"},
    {"agents"},
    {"cli"},
    {"__main__"},
)
"""A module imports from its own layer and from earlier ones."""

ENGINE_SIDE = {"engine", "worker"}
"""Modules of the engine's process; the parent imports none of them."""
ENGINE_MAY_IMPORT = LAYERS[0] | {
    "events",
    "images",
    "plan",
    "protocol",
    "accel",
    "builds",
    "native",
    "native_videos",
    "engine",
}

HEAVY = {"huggingface_hub", "PIL", "numpy", "stable_diffusion_cpp", "rich", "psutil", "gguf"}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name below sdcpu; "" is sdcpu itself."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


NAMES = sorted(modules())


def unit(name: str) -> str:
    """The first part of a module's name: a folder counts as one module."""
    return name.partition(".")[0]


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """What is imported anywhere in a module, type checking included, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            yield node.module or "", node.lineno
            if node.module == "sdcpu" or (node.module or "").startswith("sdcpu."):
                for alias in node.names:
                    yield f"{node.module}.{alias.name}", node.lineno


def imports_of_ours(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The modules of sdcpu that are imported, by their name below sdcpu."""
    for name, line in imports(tree):
        below = name.removeprefix("sdcpu.")
        if below != name and unit(below) in {unit(known) for known in NAMES}:
            yield unit(below), line


def names_used(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Dotted names such as os.environ, and plain calls such as print."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}", node.lineno
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node.lineno


def test_every_module_has_its_layer() -> None:
    placed = set().union(*LAYERS) | ENGINE_SIDE | {""}
    assert {unit(name) for name in NAMES} <= placed


@pytest.mark.parametrize("name", [name for name in NAMES if unit(name)])
def test_imports_point_to_earlier_layers(name: str) -> None:
    if unit(name) in ENGINE_SIDE:
        allowed = ENGINE_MAY_IMPORT | ({"worker"} if unit(name) == "worker" else set())
    else:
        own_layer = next(index for index, layer in enumerate(LAYERS) if unit(name) in layer)
        allowed = set().union(*LAYERS[: own_layer + 1])
    wrong = [(used, line) for used, line in imports_of_ours(modules()[name]) if used not in allowed]
    assert not wrong


def test_layers_have_no_circles() -> None:
    graph: dict[str, set[str]] = {}
    for name, tree in modules().items():
        used = {used for used, _ in imports_of_ours(tree) if used != unit(name)}
        graph[unit(name)] = graph.get(unit(name), set()) | used
    del graph[""]
    done: set[str] = set()
    while ready := {name for name, used in graph.items() if used & graph.keys() <= done} - done:
        done |= ready
    assert not graph.keys() - done


@pytest.mark.parametrize("name", NAMES)
def test_only_the_engine_imports_the_binding(name: str) -> None:
    found = [
        line for used, line in imports(modules()[name]) if unit(used) == "stable_diffusion_cpp"
    ]
    assert not found or unit(name) == "engine"


@pytest.mark.parametrize("name", NAMES)
def test_only_settings_reads_the_environment(name: str) -> None:
    readers = {"os.environ", "os.getenv", "os.environb", "os.putenv", "os.unsetenv"}
    found = [(used, line) for used, line in names_used(modules()[name]) if used in readers]
    imported = [line for used, line in imports(modules()[name]) if used in readers]
    assert (not found and not imported) or name == "settings"


@pytest.mark.parametrize("name", [name for name in NAMES if unit(name) != "cli"])
def test_only_the_command_line_prints(name: str) -> None:
    printers = {"print", "sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"}
    found = [(used, line) for used, line in names_used(modules()[name]) if used in printers]
    libraries = [
        (used, line) for used, line in imports(modules()[name]) if unit(used) in ("click", "rich")
    ]
    # The worker keeps standard output for messages and sends what native code prints elsewhere.
    assert not libraries
    assert not found or name == "worker"


@pytest.mark.parametrize("name", NAMES)
def test_modules_stay_short(name: str) -> None:
    path = PACKAGE.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", sorted(TRAINING.glob("*.py")), ids=lambda path: path.stem)
def test_training_is_apart_from_the_package(path: Path) -> None:
    """It shares the words with the package, and nothing of the package knows of it."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    assert len(text.splitlines()) <= MOST_LINES
    assert ast.get_docstring(tree)
    assert [node.name for node in public_definitions(tree) if not ast.get_docstring(node)] == []
    ours = {used for used, _ in imports(tree) if unit(used) == "sdcpu"}
    assert ours <= {"sdcpu.demo.words"} | {name for name in ours if "demo.words." in name}


@pytest.mark.parametrize("name", NAMES)
def test_the_package_needs_neither_training_nor_torch(name: str) -> None:
    used = {unit(used) for used, _ in imports(modules()[name])}
    assert not used & {"training", "torch"}


def public_definitions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and the public methods in those classes."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        yield method


@pytest.mark.parametrize("name", NAMES)
def test_public_things_say_what_they_are(name: str) -> None:
    tree = modules()[name]
    assert ast.get_docstring(tree), "the module has no docstring"
    silent = [node.name for node in public_definitions(tree) if not ast.get_docstring(node)]
    assert not silent


def test_importing_sdcpu_loads_nothing_heavy() -> None:
    program = "import sys, sdcpu; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    ).stdout.split()
    assert "sdcpu" in loaded
    assert not HEAVY & set(loaded)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from sdcpu.cli.commands import run\n"
        "run(['--help'])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert "generate" in result.stdout
    assert not HEAVY & set(result.stderr.split())


def test_all_is_complete() -> None:
    """What the type checker sees in `sdcpu` is what `__all__` names, and each name is there."""
    seen_by_types = {
        alias.asname or alias.name
        for node in ast.walk(modules()[""])
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sdcpu.")
        for alias in node.names
    }
    assert sorted(sdcpu.__all__) == sorted(seen_by_types | {"__version__"})
    assert len(set(sdcpu.__all__)) == len(sdcpu.__all__)
    for name in sdcpu.__all__:
        assert getattr(sdcpu, name) is not None


def test_every_error_is_public() -> None:
    from sdcpu import errors

    raised = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.SdcpuError)
    }
    assert raised <= set(sdcpu.__all__)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="nothing_like_this"):
        sdcpu.nothing_like_this  # noqa: B018
