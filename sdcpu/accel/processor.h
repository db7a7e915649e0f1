// What the processor and the operating system can run, of what the kernels are compiled for.
#pragma once

namespace sdcpu {

struct Processor {
    // x86-64
    bool avx2 = false;   // and FMA, F16C
    bool avx512 = false; // F, BW, VL and DQ
    bool avx512_bf16 = false;
    bool avx512_vnni = false;
    bool avx_vnni = false; // in 256 bits, without AVX-512
    // 64-bit Arm
    bool neon = false;
    bool dotprod = false; // products of four pairs of bytes
    bool i8mm = false;    // products of 2 x 8 by 8 x 2 bytes
    bool neon_bf16 = false;
};

Processor detect_processor();

} // namespace sdcpu
