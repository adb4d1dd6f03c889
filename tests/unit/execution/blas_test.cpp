// The matrix products' library: as Debian's build of LibTorch finds it, and what is said of others.
#include "compnode/execution/blas.hpp"
#include "compnode/execution/torch.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

namespace longhaul::compnode {
namespace {

TEST_CASE("blas: LibTorch multiplies matrices with a fast library, Debian's with OpenBLAS") {
  const Blas blas = blas_in_use();
  CAPTURE(blas.name);
  CAPTURE(blas.file);
  CHECK_FALSE(blas.reference);
  CHECK(advice_on(blas).empty());
  if (torch_version().starts_with("1.13")) {
    CHECK(blas.name.starts_with("OpenBLAS "));
    CHECK(std::filesystem::exists(blas.file));
  }
}

TEST_CASE("blas: the reference library is named in one line that says what to install") {
  const std::string advice = advice_on({.name = "libblas.so.3.11.0",
                                        .file = "/usr/lib/x86_64-linux-gnu/blas/libblas.so.3.11.0",
                                        .reference = true});
  CHECK(advice.find("/blas/libblas.so.3.11.0") != std::string::npos);
  CHECK(advice.ends_with("apt-get install libopenblas0-pthread"));
  CHECK(advice.find('\n') == std::string::npos);
}

}  // namespace
}  // namespace longhaul::compnode
