# manta_isa_sources(TARGET file.c ...): compiles each file once per instruction set into TARGET, with
#   MT_ISA         avx512 | avx2 | plain   (a bare word: names end in it, see kernels/cpu/isa.h)
#   MT_ISA_AVX512, MT_ISA_AVX2, MT_ISA_PLAIN   defined for the one being compiled
# The choice among the three is made at run time. On a machine that is not x86-64 only `plain` is built.
# -ffp-contract=off: an FMA appears only where the source writes one, so that results are a property of the source.
include(CheckCCompilerFlag)
set(MT_ISA_FLAGS_plain "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(MT_ISAS plain avx2 avx512)
  set(MT_ISA_FLAGS_avx2 -march=x86-64-v3 -mtune=generic)
  set(MT_ISA_FLAGS_avx512 -march=x86-64-v4 -mprefer-vector-width=512 -mtune=generic)
else()
  set(MT_ISAS plain)
endif()

function(manta_isa_sources target)
  foreach(isa ${MT_ISAS})
    string(TOUPPER ${isa} ISA)
    set(object ${target}_${isa})
    if(NOT TARGET ${object})
      add_library(${object} OBJECT)
      target_link_libraries(${object} PRIVATE manta::flags)
      target_compile_options(${object} PRIVATE ${MT_ISA_FLAGS_${isa}})
      target_compile_definitions(${object} PRIVATE MT_ISA=${isa} MT_ISA_${ISA}=1)
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${object}>)
    endif()
    target_sources(${object} PRIVATE ${ARGN})
  endforeach()
endfunction()
