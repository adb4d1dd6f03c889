// Makes CURVE key pairs and keeps them in files that only their owner can read.
#include "proto/channel/curve_key.hpp"

#include <fmt/format.h>
#include <zmq.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace longhaul::proto {
namespace {

constexpr std::size_t kZ85KeyLength = 40;
constexpr std::size_t kMaxKeyFileBytes = 4096;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

Error file_error(const std::filesystem::path& file, std::string_view what) {
  return configuration_error(fmt::format("key file {}: {}", file.string(), what));
}

// The text after `name` on its line, or empty.
std::string_view field(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.starts_with(name)) continue;
    const std::string_view value = line.substr(name.size());
    const std::size_t first = value.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return value.substr(first, value.find_last_not_of(" \t\r") - first + 1);
  }
  return {};
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

Result<std::string> read_all(int fd, const std::filesystem::path& file) {
  std::string text;
  std::array<char, kMaxKeyFileBytes> buffer;
  while (true) {
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return file_error(file, std::strerror(errno));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > kMaxKeyFileBytes) return file_error(file, "too large to be a key file");
  }
}

}  // namespace

CurveKeyPair make_curve_key_pair() {
  std::array<char, kZ85KeyLength + 1> public_key{};
  std::array<char, kZ85KeyLength + 1> secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0) {
    throw Failed({ErrorKind::kResource, "this libzmq was built without CURVE encryption"});
  }
  return {public_key.data(), secret_key.data()};
}

bool is_z85_key(const std::string& text) {
  std::array<std::uint8_t, 32> key;
  return text.size() == kZ85KeyLength && zmq_z85_decode(key.data(), text.c_str()) != nullptr;
}

Result<void> save_key_pair(const std::filesystem::path& file, const CurveKeyPair& pair) {
  const FileDescriptor out(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!out) {
    return file_error(file, errno == EEXIST ? "exists already; remove it first to replace the keys"
                                            : std::strerror(errno));
  }
  const std::string text =
      fmt::format("public: {}\nsecret: {}\n", pair.public_key, pair.secret_key);
  if (!write_all(out.get(), text) || ::fsync(out.get()) != 0) {
    const Error error = file_error(file, std::strerror(errno));
    ::unlink(file.c_str());  // half a key file would be in the way of the next attempt
    return error;
  }
  return {};
}

Result<CurveKeyPair> load_key_pair(const std::filesystem::path& file) {
  const FileDescriptor in(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in) return file_error(file, std::strerror(errno));
  struct stat status {};
  if (::fstat(in.get(), &status) != 0) return file_error(file, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return file_error(file, "not a regular file");
  if ((status.st_mode & 077) != 0) {
    return file_error(
        file, fmt::format("others can read the secret key; run chmod 600 {}", file.string()));
  }
  const auto text = read_all(in.get(), file);
  if (text.has_error()) return text.error();
  CurveKeyPair pair{std::string(field(text.value(), "public:")),
                    std::string(field(text.value(), "secret:"))};
  if (!is_z85_key(pair.public_key) || !is_z85_key(pair.secret_key)) {
    return file_error(file,
                      "needs lines 'public: KEY' and 'secret: KEY' of 40 Z85 characters each");
  }
  std::array<char, kZ85KeyLength + 1> derived{};
  if (zmq_curve_public(derived.data(), pair.secret_key.c_str()) != 0 ||
      pair.public_key != derived.data()) {
    return file_error(file, "the public key does not belong to the secret key");
  }
  return pair;
}

Result<CurveKeyPair> load_or_make_key_pair(const std::filesystem::path& file) {
  if (::access(file.c_str(), F_OK) == 0) return load_key_pair(file);
  CurveKeyPair pair = make_curve_key_pair();
  auto saved = save_key_pair(file, pair);
  if (saved.has_value()) return pair;
  // Another process may have made the file in the meantime; its keys are as good.
  auto loaded = load_key_pair(file);
  return loaded.has_value() ? loaded : Result<CurveKeyPair>(saved.error());
}

}  // namespace longhaul::proto
