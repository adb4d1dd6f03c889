// Which BLAS LibTorch multiplies matrices with: the choice of a library can cost a factor of ten.
#pragma once

#include <string>

namespace longhaul::compnode {

struct Blas {
  std::string name;        // "OpenBLAS 0.3.21 ...", "MKL", or a file's name
  std::string file;        // that has the function; empty: LibTorch has it inside
  bool reference = false;  // netlib's, for correctness and not for speed
};

// Of this process, on CPUs.
[[nodiscard]] Blas blas_in_use();

// What the library makes slow and what mends it, in a line; empty where there is nothing to mend.
[[nodiscard]] std::string advice_on(const Blas& blas);

}  // namespace longhaul::compnode
