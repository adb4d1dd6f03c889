// One safetensors file: read by mapping it, written atomically.
#pragma once

#include "compnode/files/mapped_file.hpp"
#include "compnode/files/safetensors_header.hpp"
#include "compnode/files/tensor_view.hpp"
#include "proto/error.hpp"

#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace longhaul::compnode {

using TensorMap = std::map<std::string, TensorView, std::less<>>;

class SafetensorsFile {
 public:
  // Errors are kConfiguration and name file and tensor.
  [[nodiscard]] static proto::Result<SafetensorsFile> open(const std::filesystem::path& path);

  [[nodiscard]] const TensorMap& tensors() const { return tensors_; }
  [[nodiscard]] const Metadata& metadata() const { return metadata_; }
  // Everything in front of the data section, as it is in the file.
  [[nodiscard]] std::span<const std::byte> header() const { return header_; }
  // The data section: the tensors' bytes without gaps.
  [[nodiscard]] std::span<const std::byte> data() const { return data_; }

 private:
  MappedFile file_;
  TensorMap tensors_;
  Metadata metadata_;
  std::span<const std::byte> header_;
  std::span<const std::byte> data_;
};

// The order in which tensors lie in a file of ours: wide elements first, so that every tensor is
// aligned to its element; then by name.
[[nodiscard]] std::vector<NamedTensor> file_order(std::span<const NamedTensor> tensors);

// Writes the tensors in file_order; the same arguments give the same bytes. The file appears under
// `path` whole and on disk, or not at all. Names must be unique and every view's bytes must fit
// its shape (asserted). Errors are kResource and name the path.
[[nodiscard]] proto::Result<void> write_safetensors(const std::filesystem::path& path,
                                                    std::span<const NamedTensor> tensors,
                                                    const Metadata& metadata);

}  // namespace longhaul::compnode
