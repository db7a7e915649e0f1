"""Bad input through the whole command line: a clear message, soon, and nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sdcpu.cli.commands import run
from tests.bad_files import BAD_FILES
from tests.sparse_files import write_sparse

SECONDS = 5
"""The longest that a person should wait to hear that something cannot be."""

Setup = Callable[[], object]


class Case(NamedTuple):
    """What is typed, what must be said, and what lies in the folder before."""

    arguments: Sequence[str]
    words: str
    setup: Setup = lambda: None
    code: int = 2
    environment: dict[str, str] = {}  # noqa: RUF012 - never changed


def wrote(name: str, content: str | bytes = b"") -> Setup:
    """A file in the folder."""
    data = content.encode() if isinstance(content, str) else content
    return lambda: Path(name).write_bytes(data)


def picture(name: str = "start.png", recipe: str | None = None) -> Setup:
    """A picture in the folder, with text where its recipe should be."""

    def save() -> None:
        chunks = PngInfo()
        if recipe is not None:
            chunks.add_text("sdcpu", recipe)
        Image.new("RGB", (64, 64), "red").save(name, pnginfo=chunks)

    return save


def cut_picture() -> None:
    """A PNG that ends in its middle."""
    Image.effect_noise((64, 64), 50).save("start.png")
    whole = Path("start.png").read_bytes()
    Path("start.png").write_bytes(whole[: len(whole) // 2])


def masked_by_less() -> None:
    """A picture and a mask that is smaller."""
    picture()()
    Image.new("L", (32, 64)).save("m.png")


def huge_picture() -> None:
    """A PNG of a few bytes that claims 60,000 x 60,000 pixels."""
    Image.new("1", (8, 8)).save("start.png")
    data = bytearray(Path("start.png").read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    Path("start.png").write_bytes(data)


def lora(text_width: int) -> Setup:
    """A LoRA for attention to a text of this width, with 999 outputs."""
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    shapes = {"lora_down": (4, text_width), "lora_up": (999, 4)}
    return lambda: write_sparse(
        Path("s.safetensors"), [(f"{layer}.{part}.weight", shape) for part, shape in shapes.items()]
    )


def embedding() -> None:
    """A textual inversion for Stable Diffusion 2, which stands for a word of the prompt."""
    write_sparse(Path("circle.safetensors"), [("emb_params", (2, 1024))])


def draw(*arguments: str) -> list[str]:
    """A request that is right but for these arguments."""
    return ["generate", "a red circle", "-m", "demo", *arguments]


REQUESTS = {
    "no-prompt": Case(["generate"], "What should be drawn?"),
    "two-prompts": Case(["generate", "a", "cat"], "unexpected extra argument"),
    "prompt-in-place-of-command": Case(["a red circle"], 'sdcpu generate "a red circle"'),
    "misspelt-command": Case(["genrate", "cat"], "Did you mean 'generate'?"),
    "misspelt-option": Case(draw("--stesp", "4"), "No such option"),
    "prompt-nul": Case(["generate", "a\0cat", "-m", "demo"], "prompt contains a NUL character"),
    "prompt-5000-words": Case(["generate", "word " * 5000, "-m", "demo"], "25000 characters"),
    "prompt-not-unicode": Case(["generate", "a\udcff", "-m", "demo"], "not valid Unicode"),
    "negative-nul": Case(draw("--negative", "a\0b"), "negative prompt contains a NUL character"),
    "width-0": Case(draw("-W", "0"), "width is 0"),
    "width-negative": Case(draw("-W", "-64"), "width is -64"),
    "width-7": Case(draw("-W", "7"), "width is 7"),
    "width-huge": Case(draw("-W", "1000000"), "width is 1000000"),
    "width-word": Case(draw("-W", "wide"), "'wide' is not a valid integer"),
    "height-half": Case(draw("-H", "512.5"), "'512.5' is not a valid integer"),
    "height-endless": Case(draw("-H", "9" * 400), "height is 999"),
    "steps-0": Case(draw("--steps", "0"), "steps is 0"),
    "steps-negative": Case(draw("--steps", "-4"), "steps is -4"),
    "steps-1001": Case(draw("--steps", "1001"), "from 1 to 1000"),
    "seed-negative": Case(draw("--seed", "-1"), "seed is -1"),
    "seed-2**63": Case(draw("--seed", str(2**63)), "seed is 9223372036854775808"),
    "count-0": Case(draw("-n", "0"), "count is 0"),
    "count-1001": Case(draw("-n", "1001"), "from 1 to 1000"),
    "cfg-nan": Case(draw("--cfg", "nan"), "cfg scale is nan"),
    "cfg-infinite": Case(draw("--cfg", "inf"), "cfg scale is inf"),
    "cfg-negative": Case(draw("--cfg", "-1"), "cfg scale is -1.0"),
    "guidance-101": Case(draw("--guidance", "101"), "guidance is 101.0"),
    "strength-nan": Case(draw("--init", "start.png", "--strength", "nan"), "nan", picture()),
    "strength-2": Case(draw("--init", "start.png", "--strength", "2"), "from 0 to 1", picture()),
    "control-strength-11": Case(draw("--control-strength", "11"), "control strength is 11.0"),
    "clip-skip-13": Case(draw("--clip-skip", "13"), "from 1 to 12"),
    "sampler": Case(draw("--sampler", "magic"), "There is no sampler 'magic'"),
    "scheduler": Case(draw("--scheduler", "never"), "There is no scheduler 'never'"),
    "quality": Case(draw("--quality", "superb"), "'superb' is not one of"),
    "decoder": Case(draw("--decoder", "huge"), "'huge' is not one of"),
    "threads-0": Case(draw("--threads", "0"), "0 threads"),
    "threads-negative": Case(draw("--threads", "-2"), "-2 threads"),
    "threads-5000": Case(draw("--threads", "5000"), "5000 threads"),
    "memory-limit-word": Case(draw("--memory-limit", "lots"), "'lots' is not a size"),
    "memory-limit-negative": Case(draw("--memory-limit", "-4 GB"), "is not a size"),
    "memory-limit-small": Case(draw("--memory-limit", "50 MB"), "memory", code=1),
    "build": Case(draw("--build", "cuda"), "no engine build 'cuda'", code=1),
}

PICTURES = {
    "sigmas-words": Case(draw("--sigmas", "much,little,0"), "no list of numbers"),
    "sigmas-rising": Case(draw("--sigmas", "1,14,0"), "numbers that fall, and end with 0"),
    "sigmas-and-steps": Case(draw("--sigmas", "14,1,0", "--steps", "4"), "are 2 steps, not 4"),
    "eta-2": Case(draw("--eta", "2", "--sampler", "tcd"), "eta is 2.0"),
    "eta-without-effect": Case(draw("--eta", "1", "--sampler", "euler"), "adds no fresh noise"),
    "cache": Case(draw("--cache", "magic"), "'magic' is not one of"),
    "cache-of-transformers": Case(draw("--cache", "easycache"), "does nothing for"),
    "seamless": Case(draw("--seamless", "z"), "'z' is not one of"),
    "hires-9": Case(draw("--hires", "9"), "hires factor is 9.0"),
    "hires-steps-alone": Case(draw("--hires-steps", "4"), "no second pass"),
    "tiled-for-nothing": Case(draw("--tiled"), "need no tiles"),
    "upscale-3": Case(draw("--upscale", "3"), "'3' is not one of"),
    "upscaler-alone": Case(draw("--upscaler", "realesrgan-x4plus"), "upscaler has nothing to do"),
    "upscaler-that-draws": Case(draw("--upscale", "2", "--upscaler", "demo"), "enlarges nothing"),
    "upscaler-missing": Case(
        draw("--upscale", "2", "--upscaler", "x4.safetensors"), "does not exist", code=1
    ),
    "upscale-nothing": Case(["upscale", "start.png"], "There is no file start.png"),
    "upscale-text": Case(["upscale", "start.png"], "cannot be used", wrote("start.png", "words")),
    "upscale-huge": Case(["upscale", "start.png"], "picture to enlarge", huge_picture),
    "upscale-by-pickle": Case(
        ["upscale", "start.png", "--upscaler", "x4.pth"],
        "a pickled checkpoint",
        lambda: [picture()(), Path("x4.pth").write_bytes(b"PK" + bytes(64))],
        code=1,
    ),
    "init-missing": Case(draw("--init", "start.png"), "does not exist"),
    "init-folder": Case(draw("--init", "start.png"), "is a directory", Path("start.png").mkdir),
    "init-empty": Case(draw("--init", "start.png"), "init image", wrote("start.png")),
    "init-text": Case(draw("--init", "start.png"), "init image", wrote("start.png", "no picture")),
    "init-cut": Case(draw("--init", "start.png"), "init image", cut_picture),
    "init-huge": Case(draw("--init", "start.png"), "init image", huge_picture),
    "mask-without-init": Case(draw("--mask", "start.png"), "A mask needs a picture", picture()),
    "strength-without-init": Case(draw("--strength", "0.5"), "A strength needs a picture"),
    "extend-without-init": Case(draw("--extend", "64"), "An extension needs a picture"),
    "extend-word": Case(draw("--extend", "wide"), "'wide' says nothing"),
    "extend-side": Case(draw("--extend", "behind=3"), "'behind=3' says nothing"),
    "extend-endless": Case(
        draw("--init", "start.png", "--extend", "9" * 9), "0 to 8192", picture()
    ),
    "fit": Case(draw("--init", "start.png", "--fit", "squeeze"), "'squeeze' is not one", picture()),
    "mask-of-another-size": Case(
        draw("--init", "start.png", "--mask", "m.png"), "The mask has", masked_by_less
    ),
    "control-net-alone": Case(draw("--control-net", "controlnet-canny"), "picture to follow"),
    "canny-without-control": Case(draw("--control-step", "canny"), "no control picture"),
    "control-without-net": Case(draw("--control", "start.png"), "no ControlNet", picture()),
    "lora-missing": Case(
        draw("--lora", "style.safetensors"), "no file 'style.safetensors'", code=1
    ),
    "lora-empty": Case(draw("--lora", "s.safetensors"), "is empty", wrote("s.safetensors"), code=1),
    "lora-weight-nan": Case(draw("--lora", "s.gguf:nan"), "weight of LoRA", wrote("s.gguf")),
    "lora-unknown": Case(draw("--lora", "inc:0.5"), "no LoRA named 'inc'", code=1),
    "lora-hub-offline": Case(draw("--lora", "owner/name/ink.gguf"), "not here", code=1),
    "lora-pickle": Case(draw("--lora", "owner/name/ink.pt"), "pickled", code=1),
    "lora-a-model": Case(draw("--lora", "sd-turbo"), "sd-turbo is not a LoRA"),
    "lora-tag-open": Case(["generate", "a <lora:ink", "-m", "demo"], "is not closed"),
    "lora-tag-weight": Case(["generate", "a <lora:ink:x>", "-m", "demo"], "cannot be read"),
    "lora-negative": Case(draw("--negative", "<lora:ink:1>"), "negative prompt names a LoRA"),
    "lora-other-family": Case(
        draw("--lora", "s.safetensors"), "was made for Stable Diffusion XL", lora(2048), code=1
    ),
    "lora-other-size": Case(
        draw("--lora", "s.safetensors"),
        "attn2_to_k.lora_up.weight has 999x4, and 320x4 are needed",
        lora(768),
        code=1,
    ),
    "lcm-unknown": Case(draw("--lcm", "-m", "demo-base"), "No LCM-LoRA is known"),
    "embedding-missing": Case(draw("--embedding", "ink.gguf"), "no file or folder", code=1),
    "embedding-pickle": Case(
        draw("--embedding", "ink.pt"), "pickled", wrote("ink.pt", b"PK\3\4" + bytes(99)), code=1
    ),
    "embedding-width": Case(
        draw("--embedding", "circle.safetensors"),
        "made for Stable Diffusion 2.x",
        embedding,
        code=1,
    ),
    "from-missing": Case(["generate", "--from", "start.png"], "does not exist"),
    "from-text": Case(["generate", "--from", "a.png"], "not a picture", wrote("a.png", "text")),
    "from-without-recipe": Case(["generate", "--from", "start.png"], "no recipe", picture()),
    "from-damaged": Case(["generate", "--from", "a.png"], "damaged", picture("a.png", "{")),
    "from-list": Case(["generate", "--from", "a.png"], "damaged", picture("a.png", "[1]")),
    "from-promptless": Case(["generate", "--from", "a.png"], "prompt", picture("a.png", "{}")),
    "from-the-future": Case(
        ["generate", "--from", "a.png"],
        "later version",
        picture("a.png", json.dumps({"recipe_version": 99, "prompt": "a cat"})),
    ),
    "from-wrong-values": Case(
        ["generate", "--from", "a.png"],
        "steps is 'many'",
        picture("a.png", json.dumps({"prompt": "a cat", "model": "demo", "steps": "many"})),
    ),
    "from-wrong-model": Case(
        ["generate", "--from", "a.png"],
        "no model named",
        picture("a.png", json.dumps({"prompt": "a cat", "model": ["demo"]})),
        code=1,
    ),
}

OUTPUTS = {
    "exists": Case(draw("-o", "a.png"), "a.png exists already", wrote("a.png", "mine")),
    "second-exists": Case(
        draw("-o", "a.png", "-n", "2"), "a-2.png exists already", wrote("a-2.png", "mine")
    ),
    "no-folder": Case(draw("-o", "missing/a.png"), "There is no folder missing"),
    "below-a-file": Case(draw("-o", "a/b.png"), "There is no folder a", wrote("a")),
    "unwritable-folder": Case(draw("-o", "/proc/a.png"), "/proc cannot be written"),
    "unwritable-default": Case(draw("-o", "/proc"), "/proc cannot be written"),
    "no-ending": Case(draw("-o", "picture"), "what kind of picture"),
    "wrong-ending": Case(draw("-o", "a.tiff"), "what kind of picture"),
    "name-too-long": Case(draw("-o", "a" * 300 + ".png"), "cannot be written"),
    "report-exists": Case(draw("--report", "r.json"), "r.json exists", wrote("r.json", "mine")),
    "report-folder": Case(draw("--report", "r"), "r exists", Path("r").mkdir),
    "preview-file": Case(draw("--preview-dir", "a.png"), "made", wrote("a.png", "mine")),
    "preview-unwritable": Case(draw("--preview-dir", "/proc"), "/proc cannot be written"),
    "preview-no-folder": Case(draw("--preview-dir", "missing/steps"), "cannot be made"),
}

MODELS = {
    "unknown": Case(["generate", "a cat", "-m", "sd-trubo"], "sd-turbo", code=1),
    "empty-name": Case(["generate", "a cat", "-m", ""], "model", code=1),
    "nul-name": Case(["generate", "a cat", "-m", "a\0b"], "model", code=1),
    "not-here": Case(["generate", "a cat", "-m", "sd-turbo"], "not here", code=1),
    "hub-file": Case(["generate", "a cat", "-m", "some/where/model.gguf"], "", code=1),
    "only-a-decoder": Case(["generate", "a cat", "-m", "taesd"], "of the kind 'tiny decoder'"),
    "video": Case(["generate", "a cat", "-m", "wan21-t2v-1_3b"], "makes videos, not pictures"),
    "plan-unknown": Case(["plan", "nothing"], "no model named 'nothing'", code=1),
    "pull-nothing": Case(["pull"], "Missing argument 'MODEL...'"),
    "pull-unknown": Case(["pull", "nothing"], "no model named 'nothing'", code=1),
    "pull-offline": Case(["pull", "sd-turbo"], "not here", code=1),
    "remove-unknown": Case(["remove", "nothing"], "no model named 'nothing'", code=1),
    "show-unknown": Case(["show", "nothing"], "no model named 'nothing'", code=1),
    "show-missing-picture": Case(["show", "a.png"], "a.png"),
    "show-text-as-picture": Case(["show", "a.png"], "not a picture", wrote("a.png", "text")),
    "quantize-missing": Case(["quantize", "a.gguf", "b.gguf"], "does not exist", code=1),
    "quantize-text": Case(["quantize", "a", "b.gguf"], "GGUF", wrote("a", "x" * 99), code=1),
    "quantize-type": Case(["quantize", "a", "b.gguf", "--type", "q9"], "no tensor type 'q9'"),
    "quantize-ending": Case(["quantize", "a", "b.safetensors"], ".gguf"),
    "quantize-exists": Case(["quantize", "a", "b.gguf"], "exists", wrote("b.gguf", "mine")),
    "quantize-no-folder": Case(["quantize", "a", "missing/b.gguf"], "no folder missing"),
}


def configured(text: str | bytes, words: str, *, arguments: Sequence[str] = ()) -> Case:
    """A configuration file that cannot be used."""
    return Case(
        arguments or draw(),
        words,
        wrote("config.toml", text),
        code=1,
        environment={"SDCPU_CONFIG": "config.toml"},
    )


def registered(text: str | bytes, words: str) -> Case:
    """A models.toml of the user that cannot be used."""
    return Case(
        draw(),
        words,
        wrote("models.toml", text),
        code=1,
        environment={"SDCPU_MODELS": "models.toml"},
    )


def model_entry(lines: str) -> str:
    """An entry of a models.toml whose file has these lines too."""
    return (
        "[my-model]\nsummary = 'mine'\nfamily = 'sd1'\nlicense = 'MIT'\n"
        f"[[my-model.files]]\nrepository = 'a/b'\npath = 'model.gguf'\n{lines}\n"
    )


def environment(name: str, value: str) -> Case:
    """An environment variable that cannot be used."""
    return Case(draw(), name, code=1, environment={name: value})


SETTINGS = {
    "config-no-toml": configured("threads = = 4", "config.toml cannot be read"),
    "config-binary": configured(b"\xff\xfe\0", "config.toml cannot be read"),
    "config-unknown-key": configured("thread = 4", "unknown key 'thread'"),
    "config-wrong-type": configured("threads = 'many'", "'threads' in config.toml"),
    "config-wrong-size": configured("memory_limit = 'much'", "is not a size"),
    "config-for-models": configured("x = 1", "unknown key", arguments=["models"]),
    "config-folder": Case(
        draw(),
        "config.toml cannot be read",
        Path("config.toml").mkdir,
        code=1,
        environment={"SDCPU_CONFIG": "config.toml"},
    ),
    "threads-variable": environment("SDCPU_THREADS", "many"),
    "memory-variable": environment("SDCPU_MEMORY_LIMIT", "lots"),
    "offline-variable": environment("SDCPU_OFFLINE", "perhaps"),
    "registry-no-toml": registered("[my-model", "models.toml"),
    "registry-binary": registered(b"\0\xff", "models.toml"),
    "registry-not-a-table": registered("my-model = 3", "my-model"),
    "registry-without-files": registered("[my-model]\nsummary = 'x'", "my-model"),
    "registry-unknown-key": registered("[my-model]\nsumary = 'x'", "sumary"),
    "registry-unknown-role": registered(model_entry("role = 'brain'"), "brain"),
    "registry-wrong-sha256": registered(model_entry("role = 'model'\nsha256 = 'abc'"), "sha256"),
    "registry-file-missing": Case(
        ["generate", "a cat", "-m", "my-model"],
        "model.gguf, which does not exist",
        wrote(
            "models.toml",
            model_entry("role = 'model'\nlocal_path = '/nowhere/model.gguf'").replace(
                "repository = 'a/b'\npath = 'model.gguf'\n", ""
            ),
        ),
        code=1,
        environment={"SDCPU_MODELS": "models.toml"},
    ),
    "registry-path-outside": registered(
        model_entry("role = 'model'").replace("model.gguf", "../../model.gguf"), "path"
    ),
}

TABLES = {
    "request": REQUESTS,
    "picture": PICTURES,
    "output": OUTPUTS,
    "model": MODELS,
    "settings": SETTINGS,
}
CASES = [
    pytest.param(case, id=f"{table}: {name}")
    for table, cases in TABLES.items()
    for name, case in cases.items()
]
FILES = [
    pytest.param(make, "does not exist" if name == "symbolic-circle" else words, id=name)
    for name, make, words in BAD_FILES
]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, demo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and settings that know of nothing but the demo model."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    for name in [name for name in os.environ if name.startswith(("SDCPU_", "HF_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SDCPU_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("SDCPU_CACHE", str(demo_folder))
    monkeypatch.setenv("SDCPU_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("SDCPU_OFFLINE", "1")
    return work


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder, with sizes and times."""
    found = sorted(folder.rglob("*"))
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in found
    }


def check_said(code: int, out: str, err: str, words: str) -> None:
    """One line says what is wrong, another what to do, and no more."""
    assert code in (1, 2), err
    assert out == ""
    assert "Traceback" not in err
    lines = err.splitlines()
    # A plan may have been announced before.
    (said,) = (number for number, line in enumerate(lines) if line.startswith("sdcpu: "))
    error, hint = lines[said], lines[said + 1 :]
    assert words in error + " ".join(hint)
    assert len(error) < 600
    assert len(hint) <= 1
    assert all(line.startswith("  ") for line in hint)


@pytest.mark.timeout(SECONDS, func_only=True)
@pytest.mark.parametrize("case", CASES)
def test_bad_input(
    case: Case,
    own_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in case.environment.items():
        monkeypatch.setenv(name, value)
    case.setup()
    before = contents(own_folder)
    code = run(case.arguments)
    check_said(code, *capsys.readouterr(), case.words)
    assert code == case.code
    assert contents(own_folder) == before


@pytest.mark.timeout(SECONDS, func_only=True)
@pytest.mark.parametrize(("make", "words"), FILES)
def test_bad_model_files(
    make: Callable[[Path], None],
    words: str,
    own_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = own_folder / "model.gguf"
    make(path)
    before = contents(own_folder)
    code = run(["generate", "a red circle", "-m", str(path)])
    check_said(code, *capsys.readouterr(), words)
    assert code == 1
    assert contents(own_folder) == before


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 60
    assert len(CASES) + len(FILES) >= 150


IN_ITS_OWN_PROCESS: dict[str, tuple[list[str | bytes], bytes, int, str]] = {
    "prompt-nul": (["generate", "-", "-m", "demo"], b"a\0cat", 2, "NUL"),
    "prompt-not-text": (["generate", "-", "-m", "demo"], b"\xff\xfe\xff", 2, "Unicode"),
    "argument-not-text": (["generate", b"a \xff cat", "-m", "demo"], b"", 2, "Unicode"),
    "unknown-model": (["generate", "a cat", "-m", "sd-trubo"], b"", 1, "sd-turbo"),
    "steps-negative": (["generate", "a cat", "--steps", "-1"], b"", 2, "steps is -1"),
    "unwritable": (["generate", "a cat", "-o", "/proc/cat.png"], b"", 2, "cannot be written"),
    "no-command": (["paint"], b"", 2, "no command 'paint'"),
}


@pytest.mark.parametrize("name", IN_ITS_OWN_PROCESS)
def test_bad_input_of_the_program(name: str, own_folder: Path) -> None:
    arguments, typed, code, words = IN_ITS_OWN_PROCESS[name]
    result = subprocess.run(
        [sys.executable, "-m", "sdcpu", *arguments],
        input=typed,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    check_said(result.returncode, result.stdout.decode(), result.stderr.decode(), words)
    assert result.returncode == code
    assert contents(own_folder) == {}
