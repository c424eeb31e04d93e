# Messages between ranks, against MPI of the same run: mpirun -n 2 bench_runtime_transport.
add_executable(bench_runtime_transport ${CMAKE_CURRENT_LIST_DIR}/runtime/transport.c)
target_link_libraries(bench_runtime_transport PRIVATE manta_engine manta::flags m)
# Ray's microbenchmark, and what else the runtime costs. Both run under mpirun.
add_executable(bench_runtime ${CMAKE_CURRENT_LIST_DIR}/runtime/microbenchmark.c)
target_link_libraries(bench_runtime PRIVATE manta_engine manta::flags m)
add_executable(bench_runtime_limits ${CMAKE_CURRENT_LIST_DIR}/runtime/limits.c)
target_link_libraries(bench_runtime_limits PRIVATE manta_engine manta::flags m)
