# Kernels against the FMA peak and memcpy.
add_executable(bench_kernels_dense ${CMAKE_CURRENT_LIST_DIR}/kernels/dense.c)
target_link_libraries(bench_kernels_dense PRIVATE manta_kernels manta::flags ${CMAKE_DL_LIBS} m)
add_executable(bench_kernels_ops ${CMAKE_CURRENT_LIST_DIR}/kernels/ops.c)
target_link_libraries(bench_kernels_ops PRIVATE manta_kernels manta::flags m)
add_executable(bench_kernels_networks ${CMAKE_CURRENT_LIST_DIR}/kernels/networks.c)
target_link_libraries(bench_kernels_networks PRIVATE manta_kernels manta::flags m)
