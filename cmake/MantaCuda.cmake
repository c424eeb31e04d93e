# The CUDA back end: -DMANTA_CUDA=ON, or the preset `cuda`. Off by default: seven architectures are minutes of compiling, and
# most builds run where there is no GPU. Without a toolkit the build says so in one line and computes on the CPU.
# After this MANTA_CUDA is true only where there is a toolkit that compiles.
#
# -DMANTA_CUDA_HOST=ON, or the preset `cuda-host`, builds the same sources for tests/cuda_host, which does on the CPU what the
# vendor's libraries do on a GPU: the headers are enough, and the host's own compiler.
option(MANTA_CUDA "Build the CUDA back end (needs the CUDA toolkit)" OFF)
option(MANTA_CUDA_HOST "Build the CUDA back end for a CPU that acts as a GPU: tests alone (needs the CUDA toolkit's headers)" OFF)

# manta_cuda_sources(TARGET): its .cu files are compiled by nvcc, or for the host
function(manta_cuda_sources target)
  if(NOT MANTA_CUDA_HOST)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.cu$")
  set_source_files_properties(${sources} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "${manta_cuda_host_flags}")
endfunction()

# manta_gpu_program(NAME LIBRARY...): a program of kernels alone, that runs on a machine with a driver and nothing else of what
# manta needs: it takes what it uses out of the archives, and not the libraries that the rest of them would want.
function(manta_gpu_program name)
  add_dependencies(${name} manta_kernels_cuda manta_kernels manta_engine)
  target_link_libraries(${name} PRIVATE manta::flags $<TARGET_FILE:manta_kernels_cuda> $<TARGET_FILE:manta_kernels>
    $<TARGET_FILE:manta_engine> ${ARGN} m)
  target_include_directories(${name} PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)   # of nvcc's host code
endfunction()

if(MANTA_CUDA_HOST)
  include(${CMAKE_SOURCE_DIR}/tests/cuda_host/library.cmake)
  if(manta_cuda_host_missing)
    message(STATUS "no ${manta_cuda_host_missing} (tests/cuda_host needs the vendor's headers): building for the CPU, everything else works")
    set(MANTA_CUDA_HOST OFF)
    set(MANTA_CUDA OFF)
  else()
    message(STATUS "the CUDA back end on the CPU, by tests/cuda_host and the headers in ${CUDA_HOST_cuda_runtime_h}")
    set(MANTA_CUDA ON)
  endif()
  return()
endif()
if(NOT MANTA_CUDA)
  message(STATUS "computing on the CPU; -DMANTA_CUDA=ON (or --preset cuda) builds the CUDA back end, too")
  return()
endif()

# Turing to Blackwell as machine code, and PTX for what comes after
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 75-real 80-real 86-real 89-real 90-real 100-real 120 CACHE STRING "GPU architectures")
endif()
if(NOT CMAKE_CUDA_COMPILER AND EXISTS /usr/local/cuda/bin/nvcc)
  set(CMAKE_CUDA_COMPILER /usr/local/cuda/bin/nvcc)   # not everybody has it on the PATH
endif()
include(CheckLanguage)
check_language(CUDA)
find_package(CUDAToolkit 12.8 QUIET)
if(NOT CMAKE_CUDA_COMPILER OR NOT TARGET CUDA::cublasLt)
  message(STATUS "no CUDA toolkit of 12.8 or newer: building for the CPU, everything else works")
  set(MANTA_CUDA OFF)
  return()
endif()
# manta_vendor_library(NAME LEAST HEADER MACRO ROOT): manta::NAME, a library of the vendor's that does not come with the toolkit;
# MACRO in HEADER is its major version, ROOT an environment variable with its place where that is not the toolkit's.
function(manta_vendor_library name least header macro root)
  find_library(${macro}_LIBRARY ${name} HINTS ${CUDAToolkit_LIBRARY_DIR} ENV ${root} PATH_SUFFIXES lib lib64)
  find_path(${macro}_INCLUDE ${header} HINTS ${CUDAToolkit_INCLUDE_DIRS} ENV ${root} PATH_SUFFIXES include)
  mark_as_advanced(${macro}_LIBRARY ${macro}_INCLUDE)
  set(major 0)
  if(${macro}_LIBRARY AND ${macro}_INCLUDE)
    file(STRINGS "${${macro}_INCLUDE}/${header}" line REGEX "^#define ${macro} +[0-9]+")
    string(REGEX MATCH "[0-9]+$" major "${line}")
  endif()
  if(NOT major GREATER_EQUAL least)
    message(STATUS "no ${name} of version ${least} or newer: building for the CPU, everything else works")
    set(MANTA_CUDA OFF PARENT_SCOPE)
    return()
  endif()
  add_library(manta::${name} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(manta::${name} PROPERTIES IMPORTED_LOCATION "${${macro}_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${${macro}_INCLUDE};${CUDAToolkit_INCLUDE_DIRS}")
endfunction()
manta_vendor_library(cudnn 9 cudnn_version.h CUDNN_MAJOR CUDNN_ROOT)
if(MANTA_CUDA)
  manta_vendor_library(nccl 2 nccl.h NCCL_MAJOR NCCL_ROOT)
endif()
if(NOT MANTA_CUDA)
  return()
endif()

enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O3 -g -lineinfo")
message(STATUS "CUDA ${CUDAToolkit_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
