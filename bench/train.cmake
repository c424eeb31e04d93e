# Rollouts with a policy, and the peak that training is held against; whole training runs are bench/train/run.sh.
add_executable(bench_rollout ${CMAKE_CURRENT_LIST_DIR}/train/rollout.c)
target_link_libraries(bench_rollout PRIVATE manta_rollout manta::flags m)
add_executable(bench_peak ${CMAKE_CURRENT_LIST_DIR}/train/peak.c)
target_link_libraries(bench_peak PRIVATE manta_engine manta::flags m)
