# Finds LibTorch and makes the target longhaul_torch, the only way our code reaches it.
#
# Debian's libtorch-dev (1.13) needs nothing beyond find_package. A LibTorch 2.x given by its
# share/cmake folder in CMAKE_PREFIX_PATH needs two corrections:
# - TorchConfig.cmake looks for libc10 in the system's folders before its own, and so mixes in Debian's;
# - its include folder holds another protobuf and another fmt, which must not hide those we link.
find_package(Torch QUIET)
if(NOT Torch_FOUND)
  message(FATAL_ERROR "LibTorch not found: install libtorch-dev, or give the share/cmake folder of a LibTorch "
                      "2.x in CMAKE_PREFIX_PATH, or configure with -DLONGHAUL_WORKER=OFF")
endif()
message(STATUS "LibTorch in ${TORCH_INSTALL_PREFIX}")

# A system library: its headers do not meet our warnings.
add_library(longhaul_torch INTERFACE)
if(EXISTS ${TORCH_INSTALL_PREFIX}/lib/libc10.so)
  list(REMOVE_ITEM TORCH_LIBRARIES ${c10_LIBRARY})
  list(APPEND TORCH_LIBRARIES ${TORCH_INSTALL_PREFIX}/lib/libc10.so)
endif()
if(EXISTS ${TORCH_INSTALL_PREFIX}/include/google AND NOT TORCH_INSTALL_PREFIX STREQUAL "/usr")
  cmake_path(IS_PREFIX TORCH_INSTALL_PREFIX "${Protobuf_INCLUDE_DIRS}" NORMALIZE protobuf_is_torchs)
  if(protobuf_is_torchs)
    message(FATAL_ERROR "CMAKE_PREFIX_PATH makes LibTorch's copy of Protobuf hide the system's: "
                        "give ${TORCH_INSTALL_PREFIX}/share/cmake instead of ${TORCH_INSTALL_PREFIX}")
  endif()
  set(before_torch ${CMAKE_BINARY_DIR}/include_before_torch)
  get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
  file(MAKE_DIRECTORY ${before_torch})
  file(CREATE_LINK ${Protobuf_INCLUDE_DIRS}/google ${before_torch}/google SYMBOLIC)
  file(CREATE_LINK ${fmt_include}/fmt ${before_torch}/fmt SYMBOLIC)
  target_include_directories(longhaul_torch SYSTEM INTERFACE ${before_torch})
endif()
target_include_directories(longhaul_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
target_link_libraries(longhaul_torch INTERFACE ${TORCH_LIBRARIES})
separate_arguments(torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
target_compile_options(longhaul_torch INTERFACE ${torch_flags})
if(TARGET torch_cuda)
  target_compile_definitions(longhaul_torch INTERFACE LONGHAUL_CUDA)
endif()
