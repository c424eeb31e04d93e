# The host implementation of the CUDA libraries, in their place: CUDA::cudart and its like are then this library, with the
# vendor's own headers. Included by cmake/MantaCuda.cmake where MANTA_CUDA_HOST is on; sets manta_cuda_host_missing to what there
# is no header of.
set(here ${CMAKE_SOURCE_DIR}/tests/cuda_host)
set(manta_cuda_host_missing "")
set(places $ENV{CUDA_HOME} /usr/local/cuda ENV CUDNN_ROOT ENV NCCL_ROOT)
foreach(header cuda_runtime.h cublasLt.h cudnn.h nccl.h)
  string(MAKE_C_IDENTIFIER ${header} name)
  find_path(CUDA_HOST_${name} ${header} HINTS ${places} PATH_SUFFIXES include)
  mark_as_advanced(CUDA_HOST_${name})
  if(NOT CUDA_HOST_${name})
    list(APPEND manta_cuda_host_missing ${header})
  endif()
  list(APPEND includes ${CUDA_HOST_${name}})
endforeach()
if(manta_cuda_host_missing)
  list(JOIN manta_cuda_host_missing ", " manta_cuda_host_missing)
  return()
endif()
list(REMOVE_DUPLICATES includes)

add_library(manta_cuda_host STATIC
  ${here}/block.c
  ${here}/capture.c
  ${here}/copy.c
  ${here}/cublaslt.c
  ${here}/cudnn.c
  ${here}/cudnn_convolution.c
  ${here}/cudnn_rnn.c
  ${here}/fiber.c
  ${here}/kernel.c
  ${here}/memory.c
  ${here}/nccl.c
  ${here}/nccl_hall.c
  ${here}/nccl_work.c
  ${here}/races.c
  ${here}/report.c
  ${here}/runtime.c
  ${here}/settings.c
  ${here}/shared.c
  ${here}/stream.c
  ${here}/symbols.c
  ${here}/vendor.c
  ${here}/warp.c
  ${here}/work.c)
target_link_libraries(manta_cuda_host PUBLIC manta::flags Threads::Threads PRIVATE stdc++ m)
target_include_directories(manta_cuda_host SYSTEM PUBLIC ${includes})
set(CUDAToolkit_INCLUDE_DIRS ${includes})
foreach(name CUDA::cudart CUDA::cudart_static CUDA::cublasLt manta::cudnn manta::nccl)
  add_library(${name} ALIAS manta_cuda_host)
endforeach()

# Loads and stores of kernels are seen by way of the thread sanitizer's calls, which this library answers; beside another
# sanitizer the compiler does not make them.
set(manta_cuda_host_flags -x c++ -std=c++17 -O2 -fno-strict-aliasing -Wno-unknown-pragmas
  -include ${here}/language.h)
if(MANTA_SANITIZE)
  target_compile_definitions(manta_cuda_host PRIVATE MT_HOST_SANITIZED)
else()
  list(APPEND manta_cuda_host_flags -fsanitize=thread,alignment,bounds -fno-sanitize-recover=all)
endif()
