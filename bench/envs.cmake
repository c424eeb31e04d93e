# Stepping the built-in environments, no policy.
add_executable(bench_envs ${CMAKE_CURRENT_LIST_DIR}/envs/step.c)
target_link_libraries(bench_envs PRIVATE manta_rollout manta::flags m)
