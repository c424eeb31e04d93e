// Symbols of this program, read when the first is asked for. Any thread.
#include "tests/cuda_host/symbols.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct symbol {
    uintptr_t from, to;
    const char *mangled;
    char *name; // owned; made when it is asked for
} symbol;

static symbol *symbols;
static size_t symbol_count;
static uintptr_t loaded_at;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

// of the C++ runtime
char *__cxa_demangle(const char *mangled, char *buffer, size_t *length, int *status);

static int by_address(const void *a, const void *b) {
    uintptr_t x = ((const symbol *)a)->from, y = ((const symbol *)b)->from;
    return x < y ? -1 : x > y;
}

// the first object is the program
static int program_base(struct dl_phdr_info *info, size_t size, void *base) {
    (void)size;
    *(uintptr_t *)base = info->dlpi_addr;
    return 1;
}

// every range of the file that it names lies in it: the file is this program's, and the kernel has loaded it
static void take_table(const char *file, const ElfW(Shdr) * table, const ElfW(Shdr) * sections) {
    const ElfW(Sym) *entries = (const void *)(file + table->sh_offset);
    const char *names = file + sections[table->sh_link].sh_offset;
    size_t count = table->sh_size / sizeof *entries;
    symbols = calloc(count ? count : 1, sizeof *symbols);
    if (!symbols) return;
    for (size_t i = 0; i < count; i++) {
        if (ELF64_ST_TYPE(entries[i].st_info) != STT_FUNC || !entries[i].st_value) continue;
        uintptr_t from = loaded_at + entries[i].st_value;
        symbols[symbol_count++] = (symbol){from, from + entries[i].st_size, names + entries[i].st_name, NULL};
    }
    qsort(symbols, symbol_count, sizeof *symbols, by_address);
}

static void read_all(void) {
    struct stat about;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    dl_iterate_phdr(program_base, &loaded_at);
    if (fd < 0) return;
    if (fstat(fd, &about) == 0) {
        char *file = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0); // stays: names point into it
        const ElfW(Ehdr) *header = (const void *)file;
        if (file != MAP_FAILED && header->e_shoff) {
            const ElfW(Shdr) *sections = (const void *)(file + header->e_shoff);
            for (int i = 0; i < header->e_shnum; i++)
                if (sections[i].sh_type == SHT_SYMTAB) take_table(file, &sections[i], sections);
        }
    }
    close(fd);
}

// up to the parameters, those of "(anonymous namespace)" and "operator()" aside
static void cut_parameters(char *name) {
    int depth = 0;
    for (char *p = name; *p; p++) {
        if (*p == '<')
            depth++;
        else if (*p == '>' && p > name && p[-1] != '-')
            depth--;
        else if (*p == '(' && depth == 0 && strncmp(p, "(anonymous namespace)", 21) == 0)
            p += 20;
        else if (*p == '(' && depth == 0 && strncmp(p, "()", 2) != 0) {
            *p = 0;
            return;
        }
    }
}

const char *mt_host_symbols_find(const void *address) {
    uintptr_t at = (uintptr_t)address;
    pthread_once(&once, read_all);
    size_t low = 0, high = symbol_count; // the last that begins at or before it
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (symbols[middle].from <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0 || at > symbols[low - 1].to) return NULL;
    symbol *s = &symbols[low - 1];
    pthread_mutex_lock(&lock);
    if (!s->name) {
        int status = 0;
        s->name = __cxa_demangle(s->mangled, NULL, NULL, &status);
        if (!s->name) s->name = strdup(s->mangled);
        if (s->name) {
            // a template's name begins with what it returns
            char *blank = strncmp(s->name, "void ", 5) == 0 ? s->name + 5 : s->name;
            memmove(s->name, blank, strlen(blank) + 1);
            cut_parameters(s->name);
        }
    }
    pthread_mutex_unlock(&lock);
    return s->name;
}

size_t mt_host_symbols_offset(const void *address) {
    pthread_once(&once, read_all);
    return (uintptr_t)address - loaded_at;
}
