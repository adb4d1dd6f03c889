// Maps, checks and writes one safetensors file.
#include "compnode/files/safetensors_file.hpp"

#include "compnode/files/atomic_file.hpp"
#include "proto/assert.hpp"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

namespace longhaul::compnode {
namespace {

bool bytes_fit_shape(const TensorView& view) {
  const auto elements = static_cast<std::uint64_t>(proto::element_count(view.shape));
  return elements * dtype_bits(view.dtype) == view.bytes.size() * 8;
}

}  // namespace

proto::Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  auto mapped = MappedFile::open(path);
  if (!mapped) return mapped.error();
  auto parsed = parse_safetensors_header(mapped->bytes());
  if (!parsed) return proto::with_context(path.string(), parsed.error());
  SafetensorsFile file;
  file.file_ = std::move(*mapped);
  file.header_ = file.file_.bytes().first(parsed->data_offset);
  file.data_ = file.file_.bytes().subspan(parsed->data_offset);
  file.metadata_ = std::move(parsed->metadata);
  for (auto& entry : parsed->entries) {
    file.tensors_.emplace(
        std::move(entry.name),
        TensorView{entry.dtype, std::move(entry.shape),
                   file.data_.subspan(entry.begin, entry.end - entry.begin)});
  }
  return file;
}

std::vector<NamedTensor> file_order(std::span<const NamedTensor> tensors) {
  std::vector<NamedTensor> ordered(tensors.begin(), tensors.end());
  std::ranges::sort(ordered, [](const NamedTensor& a, const NamedTensor& b) {
    return std::tuple(dtype_bits(b.view.dtype), std::string_view(a.name)) <
           std::tuple(dtype_bits(a.view.dtype), std::string_view(b.name));
  });
  return ordered;
}

proto::Result<void> write_safetensors(const std::filesystem::path& path,
                                      std::span<const NamedTensor> tensors,
                                      const Metadata& metadata) {
  const std::vector<NamedTensor> ordered = file_order(tensors);
  for (const NamedTensor& tensor : ordered) LONGHAUL_ASSERT(bytes_fit_shape(tensor.view));
  const std::string header = render_safetensors_header(ordered, metadata);
  auto file = AtomicFile::create(path);
  if (!file) return file.error();
  if (const auto written = file->append(std::as_bytes(std::span(header))); !written) {
    return written.error();
  }
  for (const NamedTensor& tensor : ordered) {
    if (const auto written = file->append(tensor.view.bytes); !written) return written.error();
  }
  return file->commit();
}

}  // namespace longhaul::compnode
