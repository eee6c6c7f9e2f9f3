/* Replaces some functions of the Python package that contains Bochs's processor.
 *
 * emulate.py loads this library before the package, so that these functions are used instead of the package's own:
 * - the selection of the emulated processor: the package is built for one, but contains all of them;
 * - the processor's list of features: tiles (AMX) are added to it, and tiles.py executes their instructions;
 * - two functions of newer C libraries, which some systems do not have.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct leaf { unsigned eax, ebx, ecx, edx; };

static void *original(const char *name) {
  void *package = dlopen(getenv("BOCHS_PACKAGE"), RTLD_LAZY | RTLD_NOLOAD);
  void *found = package ? dlsym(package, name) : NULL;
  if (!found) {
    fprintf(stderr, "the package of Bochs has no %s: another version than the pinned one?\n", name);
    abort();
  }
  return found;
}

/* The package makes a Core i3-8121U; we make a Sapphire Rapids. */
void *_Z23create_corei3_cnl_cpuidP8BX_CPU_C(void *cpu) {
  void *(*create)(void *) = original("_Z28create_sapphire_rapids_cpuidP8BX_CPU_C");
  return create(cpu);
}

void _ZNK17sapphire_rapids_t14get_cpuid_leafEjjP16cpuid_function_t(void *self, unsigned function, unsigned subfunction,
                                                                    struct leaf *leaf) {
  void (*get)(void *, unsigned, unsigned, struct leaf *) =
      original("_ZNK17sapphire_rapids_t14get_cpuid_leafEjjP16cpuid_function_t");
  get(self, function, subfunction, leaf);
  if (function == 7 && subfunction == 0)
    leaf->edx |= 1u << 24 | 1u << 25; /* AMX-TILE, AMX-INT8 */
}

#if defined(__GLIBC__) && !__GLIBC_PREREQ(2, 38)
unsigned long long __isoc23_strtoull(const char *text, char **end, int base) { return strtoull(text, end, base); }

int __isoc23_sscanf(const char *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int read = vsscanf(text, format, arguments);
  va_end(arguments);
  return read;
}
#endif
