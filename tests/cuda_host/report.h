// How the host implementation says what it found: one paragraph on stderr, then the process ends by abort(). What is wrong
// with the use of a GPU is never a status code here: the code under test might go on as if nothing were.
#ifndef MANTA_TESTS_CUDA_HOST_REPORT_H
#define MANTA_TESTS_CUDA_HOST_REPORT_H

#include <stddef.h>

// "cuda_host: ..." with the kernel, block and thread that runs, where one does, and the seed
_Noreturn void mt_host_fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));

// A kernel's thread, for those messages: what runs on this thread of the process now. Nullable: text
void mt_host_report_place(void (*describe)(char *text, size_t bytes));

// The function that holds an address, and its source line where addr2line is installed: "name (file:line)"
const char *mt_host_name_of(const void *address, char *text, size_t bytes);
// the name alone, without its parameters; in memory that stays
const char *mt_host_function_name(const void *address);

#endif
