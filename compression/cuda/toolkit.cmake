# Finds nvcc where it is wanted: sets LONGHAUL_CUDA_KERNELS, and makes CMake know the language CUDA.
set(LONGHAUL_CUDA_KERNELS OFF)
if(LONGHAUL_CUDA STREQUAL "AUTO")
  if(TARGET torch_cuda)
    include(CheckLanguage)
    check_language(CUDA)
  endif()
  if(TARGET torch_cuda AND CMAKE_CUDA_COMPILER)
    set(LONGHAUL_CUDA_KERNELS ON)
  endif()
elseif(LONGHAUL_CUDA)
  set(LONGHAUL_CUDA_KERNELS ON)
endif()

if(LONGHAUL_CUDA_KERNELS)
  # Said before the language is enabled: what CMake 3.25 would try first, nvcc 13 has no more.
  set(CMAKE_CUDA_ARCHITECTURES ${LONGHAUL_CUDA_ARCHITECTURES})
  enable_language(CUDA)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12)
    set(LONGHAUL_CUDA_KERNELS OFF)
    set(too_old "the kernels need nvcc 12 or newer, ${CMAKE_CUDA_COMPILER} is ${CMAKE_CUDA_COMPILER_VERSION}")
    if(NOT LONGHAUL_CUDA STREQUAL "AUTO")
      message(FATAL_ERROR "${too_old}")
    endif()
    message(WARNING "${too_old}: boundaries are encoded on the CPU")
  elseif(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc 12 has it
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  endif()
endif()

# longhaul_cuda_library(NAME a.cu b.cpp ...): kernels of ours and what launches them.
function(longhaul_cuda_library name)
  add_library(${name} STATIC ${ARGN})
  target_include_directories(${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PUBLIC LONGHAUL_CUDA_KERNELS)
  # Not find_package(CUDAToolkit): that of CMake 3.25 fails on a toolkit of wheels. nvcc's own
  # static runtime is linked by the language.
  target_include_directories(${name} SYSTEM PUBLIC ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  set_target_properties(${name} PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON)
  # No product and sum is fused, as the format wants; hash() and its like are constexpr.
  target_compile_options(${name} PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:--fmad=false --expt-relaxed-constexpr>
    $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
endfunction()
