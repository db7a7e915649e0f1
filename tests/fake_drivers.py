"""Drivers for tests: small libraries with the names and functions of real ones."""

import subprocess
from pathlib import Path

CUDA = """
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
int cuInit(unsigned flags) { (void)flags; AT_INIT; return 0; }
int cuDriverGetVersion(int *version) { *version = 13020; return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int size, int device) {
    strncpy(name, device ? "NVIDIA Second" : "NVIDIA First", size);
    return 0;
}
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 8ull << (30 + device); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 + device : attribute == 76 ? 6 : 0;
    return 0;
}
int cuDeviceGetPCIBusId(char *bus, int size, int device) {
    strncpy(bus, device ? "0000:02:00.0" : "0000:01:00.0", size);
    return 0;
}
"""
"""NVIDIA's driver with two cards; AT_INIT is what it does first."""

NVML = """
#include <string.h>
int nvmlInit_v2(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    strncpy(text, "580.1", size);
    return 0;
}
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **handle) {
    *handle = (void *)(bus[6] == '2' ? 2L : 1L);
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long *memory) {
    memory[0] = 8ull << 30;
    memory[1] = (unsigned long long)handle << 30;
    memory[2] = 0;
    return 0;
}
"""
"""NVIDIA's management library: the first card has 1 GiB free, the second 2."""

VULKAN = """
#include <string.h>
#include <stdint.h>
int vkCreateInstance(const void *info, const void *allocator, void **instance) {
    (void)allocator;
    *instance = (void *)1;
    return *(const int *)info == 1 ? 0 : -1;
}
int vkEnumeratePhysicalDevices(void *instance, uint32_t *count, void **devices) {
    (void)instance;
    *count = 2;
    if (devices) { devices[0] = (void *)0x7f0000000001; devices[1] = (void *)0x7f0000000002; }
    return 0;
}
void vkGetPhysicalDeviceProperties(void *device, char *properties) {
    uint32_t numbers[5] = {0, 77, 0x1002, 0, device == (void *)0x7f0000000001 ? 2 : 4};
    memset(properties, 0, 824);
    memcpy(properties, numbers, sizeof(numbers));
    strcpy(properties + 20, numbers[4] == 2 ? "A card" : "A rasteriser");
}
void vkGetPhysicalDeviceMemoryProperties(void *device, char *memory) {
    (void)device;
    uint32_t count = 2, flags = 1;
    uint64_t sizes[2] = {64ull << 30, 4ull << 30};
    memset(memory, 0, 520);
    memcpy(memory + 260, &count, 4);
    for (int i = 0; i < 2; i++) memcpy(memory + 264 + 16 * i, &sizes[i], 8);
    memcpy(memory + 264 + 16 + 8, &flags, 4);
}
"""
"""Vulkan's loader with a card, whose own 4 GiB are the second heap, and a software rasteriser."""

VULKAN_1_1 = (
    VULKAN.replace(
        "return *(const int *)info == 1 ? 0 : -1;",
        "const char *application = ((char *const *)info)[3];"
        "return application && *(const int *)(application + 44) == 0x401000 ? 0 : -1;",
    )
    + """
void vkGetPhysicalDeviceProperties2(void *device, char *properties) {
    char *told = ((char **)properties)[1];
    if (*(int *)properties != 1000059001 || *(int *)told != 1000196000) return;
    if (device == (void *)0x7f0000000001) return;
    strcpy(told + 20, "llvmpipe");
    strcpy(told + 276, "Mesa 25.0.7");
}
"""
)
"""The same, as a newer loader; the rasteriser tells its version in words, the card does not."""


def write_driver(folder: Path, name: str, source: str, **macros: str) -> None:
    """Compile a library of that name, such as "libcuda.so.1", into a folder."""
    folder.mkdir(exist_ok=True)
    defined = [f"-D{macro}={value}" for macro, value in macros.items()]
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-w", *defined, "-xc", "-", "-o", str(folder / name)],
        input=source,
        text=True,
        check=True,
        timeout=30,
    )
