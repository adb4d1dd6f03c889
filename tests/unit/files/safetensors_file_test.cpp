// Whole files: round trips, determinism, and writing that fails.
#include "compnode/files/safetensors_file.hpp"

#include "compnode/files/atomic_file.hpp"
#include "tests/unit/files/result_text.hpp"
#include "tests/unit/files/scratch_folder.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <cstdint>
#include <random>
#include <sys/resource.h>
#include <sys/stat.h>
#include <vector>

namespace longhaul::compnode {
namespace {

using test::ScratchFolder;

// Lets no file of this process grow beyond a size while it lives: a disk that is full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_CASE("safetensors file: what is written is read back, whatever the dtypes and shapes") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const ScratchFolder folder;
  for (int round = 0; round < 30; ++round) {
    std::vector<std::vector<std::uint8_t>> buffers;
    std::vector<NamedTensor> tensors;
    const std::size_t count = random() % 8;
    for (std::size_t i = 0; i < count; ++i) {
      const Dtype dtypes[] = {Dtype::kF32, Dtype::kF16, Dtype::kBF16, Dtype::kF64, Dtype::kU8};
      const Dtype dtype = dtypes[random() % 5];
      const proto::Shape shape{static_cast<std::int64_t>(random() % 5),
                               static_cast<std::int64_t>(random() % 40)};
      auto& bytes = buffers.emplace_back(
          static_cast<std::size_t>(shape[0] * shape[1]) * dtype_bits(dtype) / 8);
      for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
      tensors.push_back({fmt::format("t{}", i), {dtype, shape, std::as_bytes(std::span(bytes))}});
    }
    const auto path = folder / "model.safetensors";
    REQUIRE(write_safetensors(path, tensors, {{"format", "pt"}}));
    const auto file = SafetensorsFile::open(path);
    REQUIRE(file);
    CHECK(file->metadata() == Metadata{{"format", "pt"}});
    CHECK(file->header().size() % 8 == 0);
    REQUIRE(file->tensors().size() == count);
    for (const auto& tensor : tensors) {
      const TensorView& view = file->tensors().at(tensor.name);
      CHECK(view.dtype == tensor.view.dtype);
      CHECK(view.shape == tensor.view.shape);
      CHECK(std::ranges::equal(view.bytes, tensor.view.bytes));
      const auto offset = static_cast<std::size_t>(view.bytes.data() - file->header().data());
      CHECK((view.bytes.empty() || offset % (dtype_bits(view.dtype) / 8) == 0));
    }
  }
}

TEST_CASE("safetensors file: the order of the arguments does not change the bytes") {
  const ScratchFolder folder;
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  std::vector<NamedTensor> tensors{{"b", f32_view({2, 3}, values)}, {"a", f32_view({6}, values)},
                                   {"c", {Dtype::kBF16, {12}, std::as_bytes(std::span(values))}}};
  REQUIRE(write_safetensors(folder / "one", tensors, {{"format", "pt"}}));
  std::swap(tensors[0], tensors[2]);
  REQUIRE(write_safetensors(folder / "two", tensors, {{"format", "pt"}}));
  CHECK(test::read_bytes(folder / "one") == test::read_bytes(folder / "two"));
  CHECK(test::names_in(folder.path()) == std::vector<std::string>{"one", "two"});
}

TEST_CASE("safetensors file: moving it keeps its views valid") {
  const ScratchFolder folder;
  const std::vector<float> values{1, 2, 3};
  const std::vector<NamedTensor> tensors{{"a", f32_view({3}, values)}};
  REQUIRE(write_safetensors(folder / "f", tensors, {}));
  auto opened = SafetensorsFile::open(folder / "f");
  REQUIRE(opened);
  const TensorView view = opened->tensors().at("a");
  const SafetensorsFile moved = std::move(*opened);
  std::vector<float> out(3);
  REQUIRE(read_f32(view, out));
  CHECK(out == values);
  CHECK(moved.tensors().at("a").bytes.data() == view.bytes.data());
}

TEST_CASE("safetensors file: a file that cannot be read is named") {
  const ScratchFolder folder;
  const auto message = [&](std::string_view name) {
    const auto file = SafetensorsFile::open(folder / name);
    REQUIRE_FALSE(file);
    CHECK(file.error().kind == proto::ErrorKind::kConfiguration);
    return file.error().message;
  };
  CHECK(message("none") ==
        (folder / "none").string() + ": cannot be read: No such file or directory");
  std::filesystem::create_directory(folder / "folder");
  CHECK(message("folder") == (folder / "folder").string() + ": cannot be read: Is a directory");
  REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK(message("fifo") == (folder / "fifo").string() + ": cannot be read: Invalid argument");
  test::write_bytes(folder / "empty", "");
  CHECK(message("empty") ==
        (folder / "empty").string() +
            ": 0 bytes are no safetensors file: it is empty or cut short");
}

TEST_CASE("safetensors file: a full disk leaves the old file and nothing else, and is named") {
  const ScratchFolder folder;
  const std::vector<float> values(100'000, 1.0F);
  const std::vector<NamedTensor> small{{"a", f32_view({3}, std::span(values).first(3))}};
  const std::vector<NamedTensor> large{{"a", f32_view({100'000}, values)}};
  const auto path = folder / "model.safetensors";
  REQUIRE(write_safetensors(path, small, {}));
  const std::string before = test::read_bytes(path);
  proto::Result<void> written;
  {
    const FullDisk limit(100'000);
    written = write_safetensors(path, large, {});
  }
  REQUIRE_FALSE(written);
  CHECK(written.error().kind == proto::ErrorKind::kResource);
  CHECK(written.error().message == path.string() + ": cannot be written: File too large");
  CHECK(test::read_bytes(path) == before);
  CHECK(test::names_in(folder.path()) == std::vector<std::string>{"model.safetensors"});
}

TEST_CASE("safetensors file: a folder that is not there is named") {
  const ScratchFolder folder;
  const auto written = write_safetensors(folder / "none" / "f", {}, {});
  REQUIRE_FALSE(written);
  CHECK(written.error().message ==
        (folder / "none" / "f").string() + ": cannot be written: No such file or directory");
}

}  // namespace
}  // namespace longhaul::compnode
