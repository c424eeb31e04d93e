# Messages between ranks, against MPI of the same run: mpirun -n 2 bench_runtime_transport.
add_executable(bench_runtime_transport ${CMAKE_CURRENT_LIST_DIR}/runtime/transport.c)
target_link_libraries(bench_runtime_transport PRIVATE manta_engine manta::flags m)
