# _cuda: the CUDA backend, built when a fit nvcc is found. It links the CUDA runtime statically and
# never libcuda, so that it imports on a machine without a driver and says why it is unavailable.
set(KVPROF_CUDA_MINIMUM 12.8) # the first that compiles for sm_100

if(KVPROF_CUDA STREQUAL "OFF")
  message(STATUS "kvprof: no CUDA module: KVPROF_CUDA is OFF")
  return()
endif()

# Reports why there will be no _cuda: an error when it was asked for, else a line.
function(kvprof_without_cuda reason)
  if(KVPROF_CUDA STREQUAL "ON")
    message(FATAL_ERROR "kvprof: KVPROF_CUDA is ON, but ${reason}")
  endif()
  message(STATUS "kvprof: no CUDA module: ${reason}")
endfunction()

set(KVPROF_CUDA_SOURCES
  csrc/cuda/clock_kernels.cu
  csrc/cuda/copy_kernels.cu
  csrc/cuda/cuda_backend.cpp
  csrc/cuda/cuda_ceilings.cpp
  csrc/cuda/cuda_check.cpp
  csrc/cuda/cuda_memory.cpp
  csrc/cuda/device_buffers.cpp
  csrc/cuda/device_context.cpp
  csrc/cuda/device_facts.cpp
  csrc/cuda/driver.cpp
  csrc/cuda/pass_timer.cpp
  csrc/cuda/primary_context.cpp
  csrc/cuda/read_kernels.cu
  csrc/cuda/reservation.cpp
  csrc/cuda/swaps.cpp
  csrc/cuda/tile_cache.cpp
  csrc/cuda/tiles.cpp
  csrc/cuda/update_kernels.cu
  csrc/cuda/write_kernels.cu)

# For tests on machines without a GPU: the same sources, compiled for the CPU against an emulated
# runtime (see tests/emulator). What such a build times is not a device.
if(KVPROF_CUDA STREQUAL "EMULATED")
  file(GLOB emulator_sources CONFIGURE_DEPENDS tests/emulator/*.cpp)
  list(FILTER emulator_sources EXCLUDE REGEX "check_[a-z]+[.]cpp$")
  add_library(kvprof_cuda STATIC ${KVPROF_CUDA_SOURCES} ${emulator_sources})
  set(kernel_sources ${KVPROF_CUDA_SOURCES})
  list(FILTER kernel_sources INCLUDE REGEX "\\.cu$")
  set_source_files_properties(${kernel_sources} PROPERTIES
    LANGUAGE CXX COMPILE_OPTIONS "-xc++;-Wno-conversion;-Wno-sign-conversion;-Wno-maybe-uninitialized")
  target_compile_options(kvprof_cuda PRIVATE -ffp-contract=off)
  target_include_directories(kvprof_cuda SYSTEM PUBLIC tests/emulator/include)
  target_link_libraries(kvprof_cuda PUBLIC kvprof_core Threads::Threads)
  pybind11_add_module(_cuda MODULE csrc/bindings/cuda_module.cpp)
  target_link_libraries(_cuda PRIVATE kvprof_cuda)
  install(TARGETS _cuda LIBRARY DESTINATION .)
  return()
endif()

if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80 90 100)
endif()

# Compiles a test program in a project of its own: an nvcc that does not work, or does not work with
# this host compiler, counts as none.
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  kvprof_without_cuda("no working nvcc was found (set CUDACXX, or CUDAHOSTCXX when it refuses the host compiler)")
  return()
endif()

enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS KVPROF_CUDA_MINIMUM)
  kvprof_without_cuda("nvcc is ${CMAKE_CUDA_COMPILER_VERSION}, ${KVPROF_CUDA_MINIMUM} or newer is needed")
  return()
endif()

# nvcc sees no pybind11: the headers are slow there, and break with each new release of either.
# What launches nothing is plain C++.
add_library(kvprof_cuda STATIC ${KVPROF_CUDA_SOURCES})
target_link_libraries(kvprof_cuda PUBLIC kvprof_core ${CMAKE_DL_LIBS})
target_include_directories(kvprof_cuda SYSTEM PUBLIC ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
set_target_properties(kvprof_cuda PROPERTIES
  CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF CUDA_RUNTIME_LIBRARY Static)
target_compile_options(kvprof_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>)
if(KVPROF_WERROR)
  target_compile_options(kvprof_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
endif()

pybind11_add_module(_cuda MODULE csrc/bindings/cuda_module.cpp)
target_link_libraries(_cuda PRIVATE kvprof_cuda)
# Our copy of the CUDA runtime stays ours, beside that of another module of the process.
target_link_options(_cuda PRIVATE -Wl,--exclude-libs,ALL)
set_target_properties(_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static)
install(TARGETS _cuda LIBRARY DESTINATION .)
