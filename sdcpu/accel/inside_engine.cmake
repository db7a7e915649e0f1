# Compiles our kernels into the engine itself, on systems where a library cannot take the place of the engine's
# functions when it is loaded (macOS, Windows); it works on Linux too. The binding's build includes this file when it is
# asked to, with nothing changed in its sources:
#
#   CMAKE_ARGS="-DCMAKE_PROJECT_stable_diffusion_cpp_INCLUDE=…/sdcpu/accel/inside_engine.cmake" pip install …
#
# ggml_backend_graph_compute() and ggml_cpu_extra_compute_forward() are defined in one source file each. A definition on
# that file gives them another name there, so that hooks.cpp can have theirs: every call from another file arrives at
# us. (The first is also called within its own file, by a comparison of two backends that is of no concern here.)

include("${CMAKE_CURRENT_LIST_DIR}/kernels.cmake")

# The version that ggml_abi.h describes.
set(SDCPU_GGML_VERSION 0.9.8)

function(sdcpu_enter_engine)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "MSVC")
    message(WARNING "sdcpu: the kernels need clang-cl on Windows (-T ClangCL) or GCC; the engine is left without them.")
    return()
  endif()
  foreach(target stable-diffusion ggml-base ggml-cpu)
    if(NOT TARGET ${target})
      message(WARNING "sdcpu: this engine has no ${target}; it is left as it is, without our kernels.")
      return()
    endif()
  endforeach()
  get_target_property(engine_type stable-diffusion TYPE)
  get_target_property(ggml_type ggml-base TYPE)
  get_target_property(ggml_folder ggml-base SOURCE_DIR)
  get_directory_property(ggml_version DIRECTORY "${ggml_folder}/.." DEFINITION GGML_VERSION)
  if(NOT "${engine_type} ${ggml_type}" STREQUAL "SHARED_LIBRARY STATIC_LIBRARY")
    message(WARNING "sdcpu: the engine is not one shared library; it is left as it is, without our kernels.")
  elseif(NOT "${ggml_version}" STREQUAL "${SDCPU_GGML_VERSION}")
    message(WARNING "sdcpu: the engine has ggml ${ggml_version}, not ${SDCPU_GGML_VERSION}; it is left without our kernels.")
  else()
    _sdcpu_rename("${ggml_folder}/ggml-backend.cpp" ggml-base ggml_backend_graph_compute)
    _sdcpu_rename("${ggml_folder}/ggml-cpu/traits.cpp" ggml-cpu ggml_cpu_extra_compute_forward)
    sdcpu_add_kernels(stable-diffusion inside.cpp)
    # This tells the Python side what is in the library beside it.
    get_directory_property(library_folder DIRECTORY "${ggml_folder}" DEFINITION CMAKE_LIBRARY_OUTPUT_DIRECTORY)
    file(WRITE "${library_folder}/sdcpu-kernels.txt" "The engine in this folder holds the CPU kernels of sdcpu.\n")
    install(FILES "${library_folder}/sdcpu-kernels.txt" DESTINATION "${SKBUILD_PLATLIB_DIR}/stable_diffusion_cpp/lib")
  endif()
endfunction()

function(_sdcpu_rename source target function)
  set_property(SOURCE "${source}" TARGET_DIRECTORY ${target}
    APPEND PROPERTY COMPILE_DEFINITIONS "${function}=${function}_of_engine")
endfunction()

# At the end of the outermost project, when all of the engine's parts are known.
cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL sdcpu_enter_engine)
