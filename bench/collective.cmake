# Collectives against MPI of the same run: mpirun -n 2 bench_collective, mpirun -n 4 bench_collective.
add_executable(bench_collective ${CMAKE_CURRENT_LIST_DIR}/collective/bench_collective.c)
target_link_libraries(bench_collective PRIVATE manta_engine manta::flags m)
