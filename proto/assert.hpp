// An assertion that is on in every build: it guards against our own bugs, never against input.
#pragma once

#include <cstdio>
#include <cstdlib>

#define LONGHAUL_ASSERT(condition)                                                             \
  do {                                                                                         \
    if (!(condition)) [[unlikely]] {                                                           \
      std::fprintf(stderr, "%s:%d: assertion failed: %s\n", __FILE__, __LINE__, #condition);   \
      std::abort();                                                                            \
    }                                                                                          \
  } while (false)
