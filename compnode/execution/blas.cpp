// Asks the dynamic linker where the BLAS's function comes from, and that library what it is.
#include "compnode/execution/blas.hpp"

#include <ATen/Context.h>

#include <dlfcn.h>

#include <array>
#include <filesystem>
#include <memory>

namespace longhaul::compnode {
namespace {

struct Close {
  void operator()(void* library) const { dlclose(library); }
};
using Library = std::unique_ptr<void, Close>;

// In the library itself or in one that it needs: Debian's libblas.so.3 of OpenBLAS is a thin one.
bool has(const Library& library, const char* symbol) {
  return library && dlsym(library.get(), symbol) != nullptr;
}

std::string openblas_configuration(const Library& library) {
  using Configuration = const char* (*)();
  void* symbol = library ? dlsym(library.get(), "openblas_get_config") : nullptr;
  if (symbol == nullptr) return {};
  std::string text = reinterpret_cast<Configuration>(symbol)();
  while (text.ends_with(' ')) text.pop_back();
  return text;
}

}  // namespace

Blas blas_in_use() {
  if (at::hasMKL()) return {.name = "MKL", .file = {}, .reference = false};
  // The first in the order of the linker's search, as for LibTorch's own calls.
  void* symbol = dlsym(RTLD_DEFAULT, "sgemm_");
  Dl_info info{};
  if (symbol == nullptr || dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) {
    return {.name = "LibTorch's own", .file = {}, .reference = false};
  }
  const Library library(dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD));
  std::error_code unresolved;
  const auto resolved = std::filesystem::canonical(info.dli_fname, unresolved);
  Blas blas{.name = openblas_configuration(library),
            .file = unresolved ? info.dli_fname : resolved.string(),
            .reference = false};
  if (!blas.name.empty()) return blas;
  blas.name = std::filesystem::path(blas.file).filename().string();
  constexpr std::array kOthers{"bli_info_get_version_str", "ATL_buildinfo", "MKL_Get_Version"};
  blas.reference = blas.name.starts_with("libblas.so");
  for (const char* other : kOthers) blas.reference = blas.reference && !has(library, other);
  return blas;
}

std::string advice_on(const Blas& blas) {
  if (!blas.reference) return {};
  return "LibTorch multiplies matrices with the reference BLAS (" + blas.file +
         "), many times slower than OpenBLAS: apt-get install libopenblas0-pthread";
}

}  // namespace longhaul::compnode
