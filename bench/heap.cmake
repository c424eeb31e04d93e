# The runtime's memory and values against memcpy of the same run.
add_executable(bench_runtime_heap ${CMAKE_CURRENT_LIST_DIR}/runtime/heap.c)
target_link_libraries(bench_runtime_heap PRIVATE manta_engine manta::flags m)
