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

HIP = """
#include <string.h>
#include <stddef.h>
int hipGetDeviceCount(int *count) { *count = 2; return AT_COUNT; }
int hipDriverGetVersion(int *version) { *version = 60300; return 0; }
int hipDeviceGet(int *device, int index) { *device = index; return 0; }
int hipDeviceGetName(char *name, int size, int device) {
    strncpy(name, device ? "AMD Second" : "AMD First", size);
    return 0;
}
int hipDeviceTotalMem(size_t *bytes, int device) { *bytes = 16ull << 30; return 0; }
int hipDeviceGetPCIBusId(char *bus, int size, int device) {
    strncpy(bus, device ? "0000:0B:00.0" : "0000:0A:00.0", size);
    return 0;
}
"""
"""AMD's runtime with two cards; AT_COUNT is what it answers when it is asked how many there are."""

LEVEL_ZERO = """
#include <string.h>
#include <stdint.h>
int zeInit(uint32_t flags) { return AT_INIT; }
int zeDriverGet(uint32_t *count, void **drivers) {
    drivers[0] = (void *)0x7f0000000010;
    drivers[1] = (void *)0x7f0000000020;
    *count = 2;
    return 0;
}
int zeDeviceGet(void *driver, uint32_t *count, void **devices) {
    *count = 0;
    if (driver != (void *)0x7f0000000020) return 0;
    for (long i = 0; i < 3; i++) devices[i] = (void *)(0x7f0000000100 + i);
    *count = 3;
    return 0;
}
int zeDeviceGetProperties(void *device, char *properties) {
    long number = (long)device & 15;
    uint32_t kind = number == 2 ? 2 : 1, flags = number == 1;
    if (*(uint32_t *)properties != 3) return 1;
    memcpy(properties + 16, &kind, 4);
    memcpy(properties + 28, &flags, 4);
    strcpy(properties + 112, number == 1 ? "Intel Shared" : "Intel Own");
    return 0;
}
int zeDeviceGetMemoryProperties(void *device, uint32_t *count, char *memories) {
    uint64_t sizes[2] = {1ull << 30, 12ull << 30};
    if (*count < 2 || *(uint32_t *)(memories + 296) != 7) return 1;
    *count = 2;
    for (int i = 0; i < 2; i++) memcpy(memories + 296 * i + 32, &sizes[i], 8);
    return 0;
}
int zeDriverGetProperties(void *driver, char *properties) {
    uint32_t version = 17056642;
    memcpy(properties + 32, &version, 4);
    return *(uint32_t *)properties != 1;
}
"""
"""Level Zero with two drivers; the second has two cards and a processor."""

METAL = """
void *MTLCreateSystemDefaultDevice(void) { return (void *)DEVICE; }
"""
"""Apple's Metal with a device at this address; 0: none."""

OBJECTIVE_C = """
#include <string.h>
#include <stdint.h>
const char *sel_registerName(const char *name) { return strdup(name); }
uint64_t objc_msgSend(void *object, const char *message) {
    if (!object) return 0;
    if (!strcmp(message, "name")) return (uint64_t)"Apple Test";
    if (!strcmp(message, "UTF8String")) return (uint64_t)object;
    if (!strcmp(message, "recommendedMaxWorkingSetSize")) return 12ull << 30;
    return !strcmp(message, "hasUnifiedMemory") ? 0xffffff01 : 0;
}
"""
"""What sends messages to objects; a BOOL has anything above its lowest byte."""


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
