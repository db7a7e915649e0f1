# The sources of our kernels, for the library that is loaded before the engine (CMakeLists.txt) and for the engine's own
# build (inside_engine.cmake).

include(CheckCXXCompilerFlag)

# No contraction: a * b + c is one instruction only where the source says so, so that all compilers round alike.
if("${CMAKE_CXX_COMPILER_FRONTEND_VARIANT}" STREQUAL "MSVC") # clang-cl, which hands on what follows /clang:
  set(_sdcpu_options -W3 /clang:-ffp-contract=off)
  set(_sdcpu_kernel_options /clang:-O3)
else()
  set(_sdcpu_options -Wall -Wextra -ffp-contract=off)
  set(_sdcpu_kernel_options -O3)
endif()
if(MINGW AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # On Windows GCC takes the stack to be aligned for large vectors when it is not (gcc bug 54412).
  list(APPEND _sdcpu_kernel_options -Wa,-muse-unaligned-vector-move)
endif()

# Compiles all that both need, and the sources that are given, and links it into a target.
function(sdcpu_add_kernels target)
  set(sources check.cpp door.cpp engine.cpp fusion.cpp graph.cpp hooks.cpp memory.cpp platform.cpp processor.cpp
    profile.cpp team.cpp testing.cpp variant.cpp operations/attention.cpp operations/convolution.cpp
    operations/copies.cpp operations/dispatch.cpp operations/normalise.cpp operations/pointwise.cpp
    operations/product.cpp ${ARGN})
  if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
    list(APPEND sources polling.cpp)
  endif()
  _sdcpu_compile(${target} sdcpu_sources ${sources})

  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    _sdcpu_add_x86_kernels(${target})
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
    _sdcpu_add_arm_kernels(${target})
  else()
    message(STATUS "sdcpu: there are no kernels for ${CMAKE_SYSTEM_PROCESSOR}; the engine computes with its own.")
  endif()
endfunction()

set(_sdcpu_all_kernels attention.cpp convolution_direct.cpp convolution_narrow.cpp convolution_winograd.cpp
  normalise.cpp pointwise.cpp product.cpp product_tile.cpp table.cpp)
set(_sdcpu_integer_kernels attention_integer.cpp product.cpp product_integer.cpp product_tile.cpp)
set(_sdcpu_old_compiler "sdcpu: the kernels need GCC 10, Clang 11 or newer; the engine computes with its own.")

function(_sdcpu_add_x86_kernels target)
  check_cxx_compiler_flag(-mavx512bf16 SDCPU_COMPILER_KNOWS_BF16)
  if(NOT SDCPU_COMPILER_KNOWS_BF16)
    message(STATUS "${_sdcpu_old_compiler}")
    return()
  endif()
  target_compile_definitions(sdcpu_sources PRIVATE SDCPU_X86_KERNELS)
  set(avx2 -mavx2 -mfma -mf16c -mbmi -mbmi2)
  set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)
  _sdcpu_add_variant(${target} avx2 FLAGS ${avx2} SOURCES ${_sdcpu_all_kernels})
  _sdcpu_add_variant(${target} avx512 FLAGS ${avx512} SOURCES ${_sdcpu_all_kernels})
  _sdcpu_add_variant(${target} bf16 FLAGS ${avx512} -mavx512bf16 SOURCES ${_sdcpu_all_kernels})
  _sdcpu_add_variant(${target} vnni FLAGS ${avx512} -mavx512vnni SOURCES ${_sdcpu_integer_kernels})
  _sdcpu_add_variant(${target} vnni_bf16 FLAGS ${avx512} -mavx512vnni -mavx512bf16 SOURCES ${_sdcpu_integer_kernels})
  _sdcpu_add_variant(${target} vnni256_evex FLAGS ${avx2} -mavx512vl -mavx512vnni -DSDCPU_HALF_VECTORS
    SOURCES ${_sdcpu_integer_kernels})
  check_cxx_compiler_flag(-mavxvnni SDCPU_COMPILER_KNOWS_AVXVNNI) # GCC 11, Clang 12
  if(SDCPU_COMPILER_KNOWS_AVXVNNI)
    target_compile_definitions(sdcpu_sources PRIVATE SDCPU_AVXVNNI_KERNELS)
    _sdcpu_add_variant(${target} vnni256 FLAGS ${avx2} -mavxvnni -DSDCPU_HALF_VECTORS
      SOURCES ${_sdcpu_integer_kernels})
  endif()
endfunction()

function(_sdcpu_add_arm_kernels target)
  check_cxx_compiler_flag(-march=armv8.2-a+bf16 SDCPU_COMPILER_KNOWS_BF16)
  if(NOT SDCPU_COMPILER_KNOWS_BF16)
    message(STATUS "${_sdcpu_old_compiler}")
    return()
  endif()
  target_compile_definitions(sdcpu_sources PRIVATE SDCPU_ARM_KERNELS)
  # GCC moves loads up until 32 registers are not enough for a tile; most processors reorder by themselves.
  set(neon $<$<CXX_COMPILER_ID:GNU>:-fno-schedule-insns>)
  _sdcpu_add_variant(${target} neon FLAGS ${neon} SOURCES ${_sdcpu_all_kernels})
  _sdcpu_add_variant(${target} bf16 FLAGS ${neon} -march=armv8.2-a+bf16 SOURCES ${_sdcpu_all_kernels})
  _sdcpu_add_variant(${target} dotprod FLAGS ${neon} -march=armv8.2-a+dotprod SOURCES product_integer.cpp)
  _sdcpu_add_variant(${target} i8mm FLAGS ${neon} -march=armv8.2-a+dotprod+i8mm SOURCES product_integer.cpp)
endfunction()

# The kernels for one instruction set, in a namespace of its name; variant.cpp chooses when the library is loaded.
function(_sdcpu_add_variant target variant)
  cmake_parse_arguments(KERNELS "" "" "FLAGS;SOURCES" ${ARGN})
  list(TRANSFORM KERNELS_SOURCES PREPEND kernels/)
  _sdcpu_compile(${target} kernels_${variant} ${KERNELS_SOURCES})
  target_compile_definitions(kernels_${variant} PRIVATE SDCPU_VARIANT=${variant})
  # GCC 12 takes the undefined registers inside its own intrinsics for mistakes (gcc bug 105593).
  target_compile_options(kernels_${variant} PRIVATE ${_sdcpu_kernel_options} ${KERNELS_FLAGS} -Wno-uninitialized
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endfunction()

# Some of our sources as a library of objects, compiled in the same way whatever the project around us does.
function(_sdcpu_compile target name)
  list(TRANSFORM ARGN PREPEND "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/")
  add_library(${name} OBJECT ${ARGN})
  set_target_properties(${name} PROPERTIES CXX_STANDARD 17 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON POSITION_INDEPENDENT_CODE ON)
  target_compile_options(${name} PRIVATE ${_sdcpu_options})
  target_link_libraries(${target} PRIVATE ${name})
endfunction()
