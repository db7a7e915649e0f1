"""Drivers are asked in programs of their own: what they say, and what happens when they break."""

import os
import time
from pathlib import Path

import pytest

from sdcpu.gpus import Driver, Gpu, cards, detect_gpus
from sdcpu.gpus.remembered import RememberedCards
from tests.fake_drivers import CUDA, NVML, VULKAN, VULKAN_1_1, write_driver

GIB = 1 << 30


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def ask(folder: Path, api: str, timeout: float = 5.0) -> Driver:
    (driver,) = detect_gpus([api], environment=environment(folder), timeout=timeout)  # type: ignore[list-item]
    return driver


def test_two_cards_with_what_is_free_on_each(tmp_path: Path) -> None:
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="")
    write_driver(tmp_path, "libnvidia-ml.so.1", NVML)
    driver = ask(tmp_path, "cuda")
    assert driver.devices == (
        Gpu(
            api="cuda",
            index=0,
            name="NVIDIA First",
            kind="discrete",
            memory_total=8 * GIB,
            memory_free=GIB,
            capability="8.6",
            driver="580.1",
        ),
        Gpu(
            api="cuda",
            index=1,
            name="NVIDIA Second",
            kind="discrete",
            memory_total=16 * GIB,
            memory_free=2 * GIB,
            capability="9.6",
            driver="580.1",
        ),
    )
    assert driver.library == str(tmp_path / "libcuda.so.1")


def test_a_driver_without_its_management_library(tmp_path: Path) -> None:
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="")
    driver = ask(tmp_path, "cuda")
    assert [card.memory_free for card in driver.devices] == [None, None]
    assert driver.version == "CUDA 13.2"


@pytest.mark.parametrize(
    ("does", "problem"),
    [
        ("return 803", "different versions; restart"),
        ("return 4711", "error 4711"),
        ("abort()", "ended the program that asked (SIGABRT)"),
        ("sleep(60)", "does not answer"),
        ("_exit(0)", "ended the program that asked (exit code 0)"),
    ],
)
def test_a_driver_that_breaks(tmp_path: Path, does: str, problem: str) -> None:
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT=does)
    begun = time.monotonic()
    driver = ask(tmp_path, "cuda", timeout=2.0)
    assert time.monotonic() - begun < 10
    assert driver.installed
    assert problem in driver.problem
    assert driver.devices == ()


def test_a_driver_of_another_kind_than_its_name_says(tmp_path: Path) -> None:
    write_driver(tmp_path, "libcuda.so.1", "int nothing;")
    assert "lacks a function" in ask(tmp_path, "cuda").problem


def test_a_library_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "libvulkan.so.1").write_text("not a library")
    assert "does not load" in ask(tmp_path, "vulkan").problem


def test_a_driver_that_prints(tmp_path: Path) -> None:
    prints = 'write(1,"hello {",7)'
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT=prints)
    assert len(ask(tmp_path, "cuda").devices) == 2


def test_vulkan_tells_a_card_from_a_rasteriser(tmp_path: Path) -> None:
    write_driver(tmp_path, "libvulkan.so.1", VULKAN)
    driver = ask(tmp_path, "vulkan")
    assert [(gpu.name, gpu.kind, gpu.is_card) for gpu in driver.devices] == [
        ("A card", "discrete", True),
        ("A rasteriser", "software", False),
    ]
    assert driver.devices[0].memory_total == 4 * GIB
    assert [gpu.driver for gpu in driver.devices] == ["1002:77", "1002:77"]


def test_vulkan_tells_the_version_in_the_drivers_words(tmp_path: Path) -> None:
    write_driver(tmp_path, "libvulkan.so.1", VULKAN_1_1)
    driver = ask(tmp_path, "vulkan")
    assert [gpu.driver for gpu in driver.devices] == ["1002:77", "llvmpipe, Mesa 25.0.7"]


@pytest.mark.parametrize(
    ("library", "problem"),
    [
        (VULKAN.replace("(void)allocator;", "__builtin_trap();"), "ended the program that asked"),
        (VULKAN.replace("(void)allocator;", "for (;;);"), "does not answer"),
        (VULKAN.replace("? 0 : -1", "? -3 : -1"), "vkCreateInstance() answers error -3"),
        (VULKAN.replace("? 0 : -1", "? -9 : -1"), ""),
        ("int nothing;", "lacks a function"),
    ],
)
def test_a_loader_of_vulkan_that_breaks(tmp_path: Path, library: str, problem: str) -> None:
    write_driver(tmp_path, "libvulkan.so.1", library)
    driver = ask(tmp_path, "vulkan", timeout=2.0)
    assert driver.installed
    assert problem in driver.problem
    assert bool(driver.problem) == bool(problem)
    assert driver.devices == ()


def test_no_driver_at_all(tmp_path: Path) -> None:
    (driver,) = detect_gpus(["rocm"], environment=environment(tmp_path))
    assert driver == Driver(api="rocm")


def test_all_are_asked_at_the_same_time(tmp_path: Path) -> None:
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="sleep(60)")
    write_driver(tmp_path, "libvulkan.so.1", VULKAN)
    drivers = detect_gpus(("cuda", "vulkan"), environment=environment(tmp_path), timeout=3.0)
    assert cards(drivers, "cuda") == ()
    assert len(cards(drivers, "vulkan")) == 2


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A root with the files of NVIDIA's module in the kernel."""
    slots = tmp_path / "root/proc/driver/nvidia/gpus"
    for slot in ("0000:01:00.0", "0000:02:00.0"):
        (slots / slot).mkdir(parents=True)
    slots.with_name("version").write_text("NVRM version: NVIDIA UNIX x86_64  580.1\n")
    (tmp_path / "root/dev").mkdir()
    return tmp_path / "root"


def ask_again(tmp_path: Path, system: Path, **variables: str) -> Driver:
    """Ask CUDA's driver; what it said is remembered."""
    (driver,) = detect_gpus(
        ["cuda"],
        environment=environment(tmp_path) | variables,
        remembered=RememberedCards(tmp_path / "state", system),
    )
    return driver


def test_what_a_driver_said_is_not_asked_again(tmp_path: Path, system: Path) -> None:
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="")
    write_driver(tmp_path, "libnvidia-ml.so.1", NVML)
    first = ask_again(tmp_path, system)
    assert [card.memory_free for card in first.devices] == [GIB, 2 * GIB]
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="return 999")  # must not be called
    write_driver(
        tmp_path,
        "libnvidia-ml.so.1",
        NVML.replace("<< 30;\n    memory[2]", "<< 29;\n    memory[2]"),
    )
    second = ask_again(tmp_path, system)
    assert [card.memory_free for card in second.devices] == [GIB // 2, GIB]
    assert second.version == first.version == "580.1"


@pytest.mark.parametrize("change", ["module", "library", "card", "hidden", "device", "file"])
def test_what_changes_is_asked_again(tmp_path: Path, system: Path, change: str) -> None:
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="")
    write_driver(tmp_path, "libnvidia-ml.so.1", NVML)
    ask_again(tmp_path, system)
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="return 803")
    variables = {}
    match change:
        case "module":
            (system / "proc/driver/nvidia/version").write_text("590.2")
        case "library":
            write_driver(tmp_path, "libnvidia-ml.so.1", NVML.replace("580.1", "590.2"))
        case "card":
            (system / "proc/driver/nvidia/gpus/0000:03:00.0").mkdir()
        case "hidden":
            variables["CUDA_VISIBLE_DEVICES"] = "1"
        case "device":
            (system / "dev/nvidia0").touch()
        case _:
            (tmp_path / "state/cards.json").write_text("{")
    assert "different versions" in ask_again(tmp_path, system, **variables).problem


def test_a_problem_is_not_remembered(tmp_path: Path, system: Path) -> None:
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="return 803")
    write_driver(tmp_path, "libnvidia-ml.so.1", NVML)
    assert ask_again(tmp_path, system).problem
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="")
    assert len(ask_again(tmp_path, system).devices) == 2


def test_a_system_that_does_not_tell_is_asked_each_time(tmp_path: Path) -> None:
    write_driver(tmp_path, "libcuda.so.1", CUDA, AT_INIT="")
    write_driver(tmp_path, "libnvidia-ml.so.1", NVML)
    assert len(ask_again(tmp_path, tmp_path / "nowhere").devices) == 2
    assert not (tmp_path / "state").exists()
