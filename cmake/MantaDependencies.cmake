# Every library manta uses. Each miss says which Debian package brings it; docs/dependencies.md says why it is used.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(manta_require name module package)
  pkg_check_modules(${name} IMPORTED_TARGET GLOBAL ${module})
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "manta needs ${module}: install Debian's ${package} (scripts/setup.sh installs everything)")
  endif()
  add_library(manta::${name} ALIAS PkgConfig::${name})
endfunction()

manta_require(hwloc hwloc libhwloc-dev)
manta_require(yaml yaml-0.1 libyaml-dev)
manta_require(jansson jansson libjansson-dev)
manta_require(zstd libzstd libzstd-dev)
manta_require(xxhash libxxhash libxxhash-dev)
manta_require(cairo cairo libcairo2-dev) # learning curves as PNG and SVG

find_package(MPI COMPONENTS C)
if(NOT MPI_C_FOUND)
  message(FATAL_ERROR "manta needs Open MPI: install Debian's libopenmpi-dev and openmpi-bin")
endif()

find_path(RANDOM123_INCLUDE Random123/philox.h)
if(NOT RANDOM123_INCLUDE)
  message(FATAL_ERROR "manta needs Random123: install Debian's librandom123-dev")
endif()
