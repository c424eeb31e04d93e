# The CUDA back end against the GPU's own limits; bench/gpu.sh runs it.
if(MANTA_CUDA)
  add_executable(bench_gpu
    ${CMAKE_CURRENT_LIST_DIR}/gpu/dense.c
    ${CMAKE_CURRENT_LIST_DIR}/gpu/launch.c
    ${CMAKE_CURRENT_LIST_DIR}/gpu/main.c
    ${CMAKE_CURRENT_LIST_DIR}/gpu/memory.c)
  manta_gpu_program(bench_gpu CUDA::cublasLt CUDA::cudart_static)
endif()
