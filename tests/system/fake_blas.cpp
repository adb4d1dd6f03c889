// A BLAS as the dynamic linker sees netlib's: the function, in a file of that name, and no other
// sign of a maker. The work is done by whichever library comes next.
#include <dlfcn.h>

#include <cstddef>

extern "C" void sgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n,
                       const int* k, const float* alpha, const float* a, const int* lda,
                       const float* b, const int* ldb, const float* beta, float* c, const int* ldc,
                       std::size_t length_a, std::size_t length_b) {
  static const auto next = reinterpret_cast<decltype(&sgemm_)>(dlsym(RTLD_NEXT, "sgemm_"));
  next(transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, length_a, length_b);
}
