# cmake --install: the program, what a plugin's author needs (headers, pkg-config file), the runtime (header, library), presets, licence, and the man page
# and bash completion that the built program writes about itself from its option tables.
install(FILES ${CMAKE_SOURCE_DIR}/rollout/manta_env.h ${CMAKE_SOURCE_DIR}/policies/manta_policy.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/manta)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/presets/ DESTINATION ${CMAKE_INSTALL_DATADIR}/manta/presets FILES_MATCHING PATTERN "*.yml")
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/manta)

# headers alone, the same for every architecture: hence share/pkgconfig, and a prefix that follows the file
configure_file(${CMAKE_SOURCE_DIR}/cmake/manta.pc.in ${CMAKE_BINARY_DIR}/manta.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/manta.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)

# the runtime for programs of one's own: a header, a static library, and what it links with
install(FILES ${CMAKE_SOURCE_DIR}/engine/runtime/manta_runtime.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/manta)
install(TARGETS manta_engine ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
configure_file(${CMAKE_SOURCE_DIR}/cmake/manta-runtime.pc.in ${CMAKE_BINARY_DIR}/manta-runtime.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/manta-runtime.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET manta)
  install(TARGETS manta RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

  # manta_writes(FILE ARGUMENT...): what the program prints when called so. A leak is a matter for the tests.
  function(manta_writes file)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/${file}
      COMMAND ${CMAKE_COMMAND} -E env ASAN_OPTIONS=detect_leaks=0 $<TARGET_FILE:manta> ${ARGN} > ${CMAKE_BINARY_DIR}/${file}
      DEPENDS manta
      COMMENT "Writing ${file}"
      VERBATIM)
  endfunction()
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated)
  manta_writes(generated/manta.1 help --man)
  manta_writes(generated/manta.bash help --bash-completion)
  add_custom_target(manta_pages ALL DEPENDS ${CMAKE_BINARY_DIR}/generated/manta.1 ${CMAKE_BINARY_DIR}/generated/manta.bash)
  install(FILES ${CMAKE_BINARY_DIR}/generated/manta.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_BINARY_DIR}/generated/manta.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME manta)

  # docs/training.md in the source tree, after a change to an option table: cmake --build FOLDER --target docs
  add_custom_target(docs
    COMMAND bash ${CMAKE_SOURCE_DIR}/tests/scripts/docs.sh write $<TARGET_FILE:manta> ${CMAKE_SOURCE_DIR}
    COMMENT "Writing docs/training.md"
    VERBATIM)
  add_dependencies(docs manta)
endif()
