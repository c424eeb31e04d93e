# Flags shared by every target, as one interface library: manta::flags.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(MANTA_SANITIZE "" CACHE STRING "address, thread, or empty (undefined is part of both)")
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# assertions stay on; -O3 for the loops the compiler vectorises
if(MANTA_SANITIZE OR MANTA_FUZZ)
  set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g")   # reports name lines, and the sanitizers' checks compile in minutes
else()
  set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O3 -g")
endif()
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO ${CMAKE_C_FLAGS_RELWITHDEBINFO})

option(MANTA_WERROR "Treat warnings as errors" OFF)

add_library(manta_flags INTERFACE)
add_library(manta::flags ALIAS manta_flags)
target_include_directories(manta_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_definitions(manta_flags INTERFACE _GNU_SOURCE)
set(host_language $<COMPILE_LANGUAGE:C,CXX>)
set(cuda_language $<COMPILE_LANGUAGE:CUDA>)
target_compile_options(manta_flags INTERFACE
  $<${host_language}:-Wall -Wextra -Wshadow $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes -Wstrict-prototypes>
  -ffp-contract=off -fno-math-errno
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=
  $<$<BOOL:${MANTA_WERROR}>:-Werror>>
  # nvcc: warnings of both compilers; a fused multiply-add only where the source writes one, as on the CPU
  $<${cuda_language}:-Xcompiler=-Wall,-Wextra,-Wshadow,-ffile-prefix-map=${CMAKE_SOURCE_DIR}/= --fmad=false
  $<$<BOOL:${MANTA_WERROR}>:-Werror=all-warnings -Xcompiler=-Werror>>)
if(MANTA_SANITIZE)
  set(san -fsanitize=${MANTA_SANITIZE},undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # gcc's flow warnings see the sanitizers' own branches as the program's
  target_compile_options(manta_flags INTERFACE
    $<${host_language}:${san} -Wno-format-truncation -Wno-maybe-uninitialized -Wno-stringop-overflow>)
  target_link_options(manta_flags INTERFACE ${san})
endif()
