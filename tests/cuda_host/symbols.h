// Names of this program's functions, out of its own symbol table: kernels are often static, which dladdr() does not see.
#ifndef MANTA_TESTS_CUDA_HOST_SYMBOLS_H
#define MANTA_TESTS_CUDA_HOST_SYMBOLS_H

#include <stddef.h>

const char *mt_host_symbols_find(const void *address);   // demangled, without parameters; NULL: none. Stays valid
size_t mt_host_symbols_offset(const void *address);      // in the program's file, as addr2line counts

#endif
