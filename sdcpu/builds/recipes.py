"""How each build of the engine is made: what it computes on, what it needs, how CMake is told."""

from __future__ import annotations

from dataclasses import dataclass

from sdcpu.errors import BuildNotInstalledError


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Something that must be on the machine before a build can be compiled."""

    name: str
    """What it is called: a program, a header or a library."""
    title: str
    """What it is, for people."""
    packages: dict[str, str]
    """The command's argument that installs it, by package manager (`INSTALL_COMMANDS`)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How one build is made."""

    name: str
    title: str
    """What it computes on, for people."""
    options: tuple[str, ...]
    """Options of CMake, beside those of every build (`COMMON_OPTIONS`)."""
    needs: tuple[Need, ...]
    device_variable: str = ""
    """The environment variable by which the child sees one device only, by its number."""
    systems: tuple[str, ...] = ("linux", "win32")
    """Where it can be made, as `sys.platform` names it."""

    @property
    def is_gpu(self) -> bool:
        """Whether it computes on a card."""
        return self.name != CPU


CPU = "cpu"

INSTALL_COMMANDS = {
    "apt": "sudo apt install",
    "dnf": "sudo dnf install",
    "pacman": "sudo pacman -S",
    "xcode": "xcode-select",
    "brew": "brew install",
    "winget": "winget install",
    "pip": "pip install",
}
"""How each package manager is asked, best known first; "pip" where the system's has none."""

CMAKE = Need(
    name="cmake",
    title="CMake 3.21 or newer",
    packages={"apt": "cmake", "dnf": "cmake", "pacman": "cmake", "brew": "cmake", "pip": "cmake"},
)
NINJA = Need(
    name="ninja",
    title="Ninja",
    packages={
        "apt": "ninja-build",
        "dnf": "ninja-build",
        "pacman": "ninja",
        "brew": "ninja",
        "pip": "ninja",
    },
)
CXX = Need(
    name="c++",
    title="a C++ compiler",
    packages={
        "apt": "g++",
        "dnf": "gcc-c++",
        "pacman": "gcc",
        "xcode": "--install",
        "winget": "Microsoft.VisualStudio.2022.BuildTools",
    },
)
NVCC = Need(
    name="nvcc",
    title="NVIDIA's compiler (CUDA toolkit)",
    packages={
        "apt": "nvidia-cuda-toolkit",
        "dnf": "cuda-toolkit",
        "pacman": "cuda",
        "winget": "Nvidia.CUDA",
    },
)
CUBLAS = Need(
    name="cublas",
    title="cuBLAS with its headers",
    # Debian has it as a part of its toolkit only, and NVIDIA's own packages have the version in
    # their names, so that the one for Python is what can be named.
    packages={"pip": "nvidia-cublas"},
)
GLSLC = Need(
    name="glslc",
    title="the compiler for shaders",
    packages={
        "apt": "glslc",
        "dnf": "glslc",
        "pacman": "shaderc",
        "brew": "shaderc",
        "winget": "KhronosGroup.VulkanSDK",
    },
)
VULKAN = Need(
    name="vulkan",
    title="Vulkan's loader with its headers",
    packages={
        "apt": "libvulkan-dev",
        "dnf": "vulkan-loader-devel vulkan-headers",
        "pacman": "vulkan-headers vulkan-icd-loader",
        "brew": "vulkan-loader vulkan-headers",
        "winget": "KhronosGroup.VulkanSDK",
    },
)
HIPCC = Need(
    name="hipcc",
    title="AMD's compiler (ROCm)",
    packages={"apt": "hipcc", "dnf": "rocm-hip-devel", "pacman": "rocm-hip-sdk"},
)
HIPBLAS = Need(
    name="hipblas",
    title="hipBLAS and rocBLAS with their headers",
    packages={
        "apt": "libhipblas-dev librocblas-dev",
        "dnf": "hipblas-devel rocblas-devel",
        "pacman": "hipblas rocblas",
    },
)
ICPX = Need(
    name="icpx",
    title="Intel's compiler (oneAPI, from Intel's own repository)",
    packages={
        "apt": "intel-oneapi-compiler-dpcpp-cpp intel-oneapi-mkl-devel",
        "pacman": "intel-oneapi-basekit",
        "winget": "Intel.oneAPI.BaseToolkit",
    },
)

COMMON_OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DSD_BUILD_SHARED_LIBS=ON",
    "-DCMAKE_POSITION_INDEPENDENT_CODE=ON",
    "-DSD_BUILD_EXAMPLES=OFF",
    # Formats of files that only the examples write.
    "-DSD_WEBP=OFF",
    "-DSD_WEBM=OFF",
    # For this very processor, also where SOURCE_DATE_EPOCH asks for builds that are all alike.
    "-DGGML_NATIVE=ON",
    # Faster products of matrices where our own kernels do not compute.
    "-DGGML_LLAMAFILE=ON",
    # CMake 4 refuses projects that name an older version.
    "-DCMAKE_POLICY_VERSION_MINIMUM=3.5",
)

_TOOLS = (CMAKE, NINJA, CXX)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name=CPU,
            title="The processor, compiled for this one",
            options=(),
            needs=_TOOLS,
            systems=("linux", "darwin", "win32"),
        ),
        Recipe(
            name="cuda",
            title="NVIDIA cards",
            options=("-DSD_CUDA=ON",),
            needs=(*_TOOLS, NVCC, CUBLAS),
            device_variable="CUDA_VISIBLE_DEVICES",
        ),
        Recipe(
            name="vulkan",
            title="Cards of any maker, through Vulkan",
            options=("-DSD_VULKAN=ON",),
            needs=(*_TOOLS, GLSLC, VULKAN),
            device_variable="GGML_VK_VISIBLE_DEVICES",
            systems=("linux", "darwin", "win32"),
        ),
        Recipe(
            name="rocm",
            title="AMD cards",
            options=("-DSD_HIPBLAS=ON",),
            needs=(*_TOOLS, HIPCC, HIPBLAS),
            device_variable="HIP_VISIBLE_DEVICES",
        ),
        Recipe(
            name="metal",
            title="Apple's graphics",
            options=("-DSD_METAL=ON",),
            needs=_TOOLS,
            systems=("darwin",),
        ),
        Recipe(
            name="sycl",
            title="Intel cards",
            options=("-DSD_SYCL=ON",),
            needs=(*_TOOLS, ICPX),
            device_variable="ONEAPI_DEVICE_SELECTOR",
        ),
    )
}
"""Every build there is, by its name."""


def find_recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        BuildNotInstalledError: there is no such build.

    >>> find_recipe("cuda").title
    'NVIDIA cards'
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise BuildNotInstalledError(
            f"There is no engine build {name!r}.", hint=f"Choose one of: {', '.join(RECIPES)}."
        ) from None
