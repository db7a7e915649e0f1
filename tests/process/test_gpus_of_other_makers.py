"""Cards of AMD, Intel and Apple, as far as they can be seen."""

from pathlib import Path
from typing import Any

import pytest

from sdcpu.builds.compilation import cmake_options
from sdcpu.builds.installed import device_name
from sdcpu.builds.recipes import RECIPES
from sdcpu.builds.tools import Tools
from sdcpu.gpus import Driver, Gpu
from sdcpu.gpus import rocm as amd
from sdcpu.gpus.library import DriverError
from sdcpu.gpus.metal import metal
from sdcpu.gpus.rocm import rocm
from tests.fake_drivers import HIP, LEVEL_ZERO, METAL, OBJECTIVE_C, write_driver
from tests.process.test_gpus import GIB, ask


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A root of Linux with a processor and two cards of AMD, of which the first is in use."""
    root = tmp_path / "root"
    targets = {"0": 0, "1": 100_300, "10": 90_010}
    for node, target in targets.items():
        folder = root / "sys/class/kfd/kfd/topology/nodes" / node
        folder.mkdir(parents=True)
        (folder / "properties").write_text(f"cpu_cores_count 8\ngfx_target_version {target}\n")
    slot = root / "sys/bus/pci/devices/0000:0a:00.0"
    slot.mkdir(parents=True)
    (slot / "mem_info_vram_used").write_text(f"{6 * GIB}\n")
    return root


@pytest.fixture(autouse=True)
def _only_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amd, "_FOLDER", str(tmp_path / "lib"))


def test_cards_of_amd_with_what_is_free_and_their_kind(tmp_path: Path, system: Path) -> None:
    write_driver(tmp_path / "lib", "libamdhip64.so.6", HIP, AT_COUNT="0")
    answer = rocm(system)
    assert answer["driver"] == "HIP 60300"
    first, second = answer["devices"]
    assert first == {
        "name": "AMD First",
        "memory_total": 16 * GIB,
        "memory_free": 10 * GIB,
        "kind": "discrete",
        "capability": "gfx1030",
    }
    assert (second["name"], second["capability"]) == ("AMD Second", "gfx90a")
    assert "memory_free" not in second
    (system / "sys/class/kfd/kfd/topology/nodes/10/properties").unlink()  # nobody knows which it is
    assert "capability" not in rocm(system)["devices"][0]


def test_a_card_of_amd_without_its_runtime(tmp_path: Path, system: Path) -> None:
    with pytest.raises(DriverError, match=r"card \(gfx1030, gfx90a\), but not ROCm's library"):
        rocm(system)
    assert rocm(tmp_path / "nothing here") == {}


def test_a_runtime_of_amd_that_breaks(tmp_path: Path, system: Path) -> None:
    write_driver(tmp_path / "lib", "libamdhip64.so", HIP, AT_COUNT="100")
    with pytest.raises(DriverError, match=r"hipGetDeviceCount\(\) answers error 100"):
        rocm(system)


def test_rocm_is_compiled_for_the_cards_that_are_here() -> None:
    def options(*kinds: str) -> list[str]:
        devices = tuple(
            Gpu(api="rocm", index=0, name="", kind="discrete", memory_total=0, capability=kind)
            for kind in kinds
        )
        driver = Driver(api="rocm", devices=devices, installed=True)
        made = cmake_options(RECIPES["rocm"], Tools(), [driver])
        return [option for option in made if "GPU_TARGETS" in option]

    assert options("gfx1030", "gfx90a", "gfx1030") == ["-DGPU_TARGETS=gfx1030;gfx90a"]
    assert options("") == options() == []


def test_cards_of_intel(tmp_path: Path) -> None:
    write_driver(tmp_path, "libze_loader.so.1", LEVEL_ZERO, AT_INIT="0")
    driver = ask(tmp_path, "sycl")
    assert [(gpu.name, gpu.kind, gpu.memory_total) for gpu in driver.devices] == [
        ("Intel Own", "discrete", 12 * GIB),
        ("Intel Shared", "integrated", 12 * GIB),
    ]
    assert driver.version == "Level Zero 17056642"
    assert device_name("sycl", 1) == "level_zero:1"


@pytest.mark.parametrize(
    ("source", "problem"),
    [(LEVEL_ZERO, "zeInit() answers error 7"), ("int nothing;", "lacks a function")],
)
def test_a_driver_of_intel_that_breaks(tmp_path: Path, source: str, problem: str) -> None:
    write_driver(tmp_path, "libze_loader.so.1", source, AT_INIT="7")
    assert problem in ask(tmp_path, "sycl").problem


@pytest.mark.parametrize("api", ["sycl", "metal"])
def test_no_such_driver(tmp_path: Path, api: Any) -> None:
    assert ask(tmp_path, api) == Driver(api=api)


def test_the_device_of_apple(tmp_path: Path) -> None:
    write_driver(tmp_path, "Metal", METAL, DEVICE="0x1000")
    write_driver(tmp_path, "libobjc", OBJECTIVE_C)
    found = metal(str(tmp_path / "Metal"), str(tmp_path / "libobjc"))
    expected = {"name": "Apple Test", "memory_total": 12 * GIB, "kind": "integrated"}
    assert found["devices"] == [expected]
    write_driver(tmp_path, "None", METAL, DEVICE="0")
    assert metal(str(tmp_path / "None"), str(tmp_path / "libobjc"))["devices"] == []
    write_driver(tmp_path, "broken", "int nothing;")
    with pytest.raises(DriverError, match="lacks a function"):
        metal(str(tmp_path / "broken"), str(tmp_path / "libobjc"))
