# The CUDA back end against the GPU's own limits; bench/gpu.sh runs it.
if(MANTA_CUDA)
  add_executable(bench_gpu
    ${CMAKE_CURRENT_LIST_DIR}/gpu/dense.c
    ${CMAKE_CURRENT_LIST_DIR}/gpu/dnn.c
    ${CMAKE_CURRENT_LIST_DIR}/gpu/envs.c
    ${CMAKE_CURRENT_LIST_DIR}/gpu/launch.c
    ${CMAKE_CURRENT_LIST_DIR}/gpu/main.c
    ${CMAKE_CURRENT_LIST_DIR}/gpu/memory.c)
  add_dependencies(bench_gpu manta_rollout)   # its environments, and what they use
  manta_gpu_program(bench_gpu $<TARGET_FILE:manta_rollout> $<TARGET_FILE:manta_kernels> $<TARGET_FILE:manta_engine> manta::cudnn CUDA::cublasLt CUDA::cudart_static)
  # ranks on several GPUs: mpirun -n 2 bench_gpu_group
  add_executable(bench_gpu_group ${CMAKE_CURRENT_LIST_DIR}/gpu/group.c)
  target_link_libraries(bench_gpu_group PRIVATE manta_engine manta::flags m)
endif()
