// Writes and reads one stage's file. It is a safetensors file whose metadata carries CheckpointInfo
// and a checksum over everything: over the list of the checksums of the header (with the checksum's
// own digits as zeros) and of each tensor in the file's order.
#include "compnode/files/checkpoint_file.hpp"

#include "compnode/files/atomic_file.hpp"
#include "proto/checksum.hpp"
#include "proto/assert.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace longhaul::compnode {
namespace {

constexpr std::string_view kFormat = "longhaul checkpoint 1";
constexpr std::string_view kChecksumKey = "\"checksum\":\"";
constexpr std::string_view kNoChecksum = "0000000000000000";

// Where the checksum's digits are in a header. The key cannot occur elsewhere: within another text
// its quotes would be escaped.
std::optional<std::size_t> checksum_position(std::string_view header) {
  const std::size_t key = header.find(kChecksumKey);
  if (key == std::string_view::npos) return std::nullopt;
  const std::size_t digits = key + kChecksumKey.size();
  if (header.size() - digits < kNoChecksum.size()) return std::nullopt;
  return digits;
}

// Over the header without its digits and the tensors, in the file's order.
class FileChecksum {
 public:
  explicit FileChecksum(std::string_view header_without)
      : parts_{proto::checksum(std::as_bytes(std::span(header_without)))} {}

  void add(std::uint64_t tensor) { parts_.push_back(tensor); }
  [[nodiscard]] std::string digits() const {
    return fmt::format("{:016x}", proto::checksum(std::as_bytes(std::span(parts_))));
  }

 private:
  std::vector<std::uint64_t> parts_;
};

std::vector<const OwnedTensor*> in_file_order(const std::vector<OwnedTensor>& tensors) {
  std::vector<const OwnedTensor*> ordered;
  for (const OwnedTensor& tensor : tensors) {
    LONGHAUL_ASSERT(tensor.view.dtype == Dtype::kF32);  // so that names alone decide
    ordered.push_back(&tensor);
  }
  std::ranges::sort(ordered, {}, &OwnedTensor::name);
  return ordered;
}

// Appends the tensor and returns its checksum.
proto::Result<std::uint64_t> append(AtomicFile& file, const OwnedTensor& tensor) {
  proto::Checksum checksum;
  std::uint64_t bytes = 0;
  proto::Result<void> written;
  const auto take = [&](std::span<const std::byte> piece) {
    bytes += piece.size();
    checksum.add(piece);
    if (written) written = file.append(piece);
  };
  if (tensor.read) {
    if (const auto read = tensor.read(take); !read) return read.error();
  } else {
    take(tensor.view.bytes);
  }
  if (!written) return written.error();
  LONGHAUL_ASSERT(bytes == byte_count(tensor.view));
  return checksum.value();
}

Metadata to_metadata(const CheckpointInfo& info, StagePlace place) {
  return {{"checksum", std::string(kNoChecksum)},
          {"data_cursor", std::to_string(info.data_cursor)},
          {"format", std::string(kFormat)},
          {"graph", info.graph},
          {"run", info.run},
          {"seed", std::to_string(info.seed)},
          {"settings", info.settings},
          {"stage", std::to_string(place.stage)},
          {"stages", std::to_string(place.stages)},
          {"step", std::to_string(info.step)}};
}

// Reads metadata entries and remembers the first that is missing or malformed.
class MetadataReader {
 public:
  explicit MetadataReader(const Metadata& metadata) : metadata_(metadata) {}

  std::string text(const std::string& key) {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) return fail(key), std::string();
    return found->second;
  }

  std::string text_if_any(const std::string& key) const {
    const auto found = metadata_.find(key);
    return found == metadata_.end() ? std::string() : found->second;
  }

  template <class Number>
  Number number(const std::string& key) {
    const std::string digits = text(key);
    Number value = 0;
    const char* end = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), end, value);
    if (read.ec != std::errc() || read.ptr != end) fail(key);
    return value;
  }

  [[nodiscard]] const std::optional<std::string>& failed_key() const { return failed_key_; }

 private:
  void fail(const std::string& key) {
    if (!failed_key_) failed_key_ = key;
  }

  const Metadata& metadata_;
  std::optional<std::string> failed_key_;
};

}  // namespace

std::string state_name(StateRole role, std::string_view parameter) {
  switch (role) {
    case StateRole::kParameter: return fmt::format("parameter/{}", parameter);
    case StateRole::kExpAvg: return fmt::format("exp_avg/{}", parameter);
    case StateRole::kExpAvgSq: return fmt::format("exp_avg_sq/{}", parameter);
  }
  LONGHAUL_ASSERT(false);
}

std::filesystem::path step_folder_path(const std::filesystem::path& directory,
                                       std::uint64_t step) {
  return directory / fmt::format("step-{:08}", step);
}

std::filesystem::path stage_file_path(const std::filesystem::path& directory, std::uint64_t step,
                                      StagePlace place) {
  return step_folder_path(directory, step) /
         fmt::format("stage-{}-of-{}.safetensors", place.stage, place.stages);
}

proto::Result<std::filesystem::path> write_stage_file(const std::filesystem::path& directory,
                                                      const StageSnapshot& snapshot,
                                                      const std::function<void()>& on_read) {
  const std::vector<const OwnedTensor*> ordered = in_file_order(snapshot.tensors);
  std::vector<NamedTensor> named;
  for (const OwnedTensor* tensor : ordered) named.push_back({tensor->name, tensor->view});
  const std::string header =
      render_safetensors_header(named, to_metadata(snapshot.info, snapshot.place));
  const auto digits = checksum_position(header);
  LONGHAUL_ASSERT(digits.has_value());

  const auto path = stage_file_path(directory, snapshot.info.step, snapshot.place);
  if (const auto folder = make_folders(path.parent_path()); !folder) return folder.error();
  auto file = AtomicFile::create(path);
  if (!file) return file.error();
  if (const auto done = file->append(std::as_bytes(std::span(header))); !done) return done.error();
  FileChecksum checksum(header);
  for (const OwnedTensor* tensor : ordered) {
    const auto of_tensor = append(*file, *tensor);
    if (!of_tensor) return of_tensor.error();
    checksum.add(*of_tensor);
  }
  const std::string found = checksum.digits();
  if (const auto done = file->overwrite(*digits, std::as_bytes(std::span(found))); !done) {
    return done.error();
  }
  on_read();
  if (const auto done = file->commit(); !done) return done.error();
  return path;
}

proto::Result<StageFile> StageFile::open(const std::filesystem::path& path) {
  auto file = SafetensorsFile::open(path);
  if (!file) return file.error();
  StageFile stage_file;
  stage_file.path_ = path;
  MetadataReader reader(file->metadata());
  const std::string format = reader.text("format");
  if (format != kFormat) {
    return proto::configuration_error(fmt::format("{}: its format is {}, not {}", path.string(),
                                                  proto::quoted(format), proto::quoted(kFormat)));
  }
  stage_file.info_ = {.step = reader.number<std::uint64_t>("step"),
                      .seed = reader.number<std::uint64_t>("seed"),
                      .data_cursor = reader.number<std::uint64_t>("data_cursor"),
                      .graph = reader.text("graph"),
                      .run = reader.text("run"),
                      .settings = reader.text_if_any("settings")};
  stage_file.place_ = {.stage = reader.number<std::uint32_t>("stage"),
                       .stages = reader.number<std::uint32_t>("stages")};
  stage_file.checksum_ = reader.text("checksum");
  if (const auto& key = reader.failed_key()) {
    return proto::configuration_error(
        fmt::format("{}: its metadata has no sound {}", path.string(), proto::quoted(*key)));
  }
  stage_file.file_ = std::move(*file);
  return stage_file;
}

proto::Result<void> StageFile::verify() const {
  const auto raw = file_.header();
  std::string header(reinterpret_cast<const char*>(raw.data()), raw.size());
  std::vector<NamedTensor> tensors;
  for (const auto& [name, view] : file_.tensors()) tensors.push_back({name, view});
  const auto digits = checksum_position(header);
  if (digits) header.replace(*digits, kNoChecksum.size(), kNoChecksum);
  FileChecksum checksum(header);
  for (const NamedTensor& tensor : file_order(tensors)) {
    checksum.add(proto::checksum(tensor.view.bytes));
  }
  if (!digits || checksum.digits() != checksum_) {
    return proto::configuration_error(
        fmt::format("{}: its checksum does not match: the file is damaged", path_.string()));
  }
  return {};
}

}  // namespace longhaul::compnode
