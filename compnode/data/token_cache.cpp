// Looks the tokens up by content, or makes them under a lock.
#include "compnode/data/token_cache.hpp"

#include "compnode/data/content_hash.hpp"
#include "compnode/data/documents.hpp"
#include "compnode/data/file_lock.hpp"
#include "compnode/files/atomic_file.hpp"
#include "compnode/files/mapped_file.hpp"
#include "proto/checksum.hpp"

#include <fmt/format.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kVersion = 1;

struct Header {
  char magic[8] = {'L', 'H', 'T', 'O', 'K', 'E', 'N', 'S'};
  std::uint32_t version = kVersion;
  std::uint32_t token_bits = 0;
  std::uint64_t tokens = 0;
  std::uint64_t checksum = 0;
  std::uint64_t zero[4] = {};

  bool operator==(const Header&) const = default;
};
static_assert(sizeof(Header) == 64);

struct Source {
  std::string name;
  SourceKind kind;
  MappedFile file;
};

proto::Result<std::vector<Source>> open_sources(const wire::DataSource& source) {
  std::vector<Source> sources;
  for (const std::string& name : source.train()) {
    const auto kind = source_kind(name);
    if (!kind) return kind.error();
    auto file = MappedFile::open(name);
    if (!file) return file.error();
    sources.push_back({name, *kind, std::move(*file)});
  }
  return sources;
}

std::string cache_key(const std::vector<Source>& sources, const Tokenizer& tokenizer,
                      const std::string& text_field) {
  ContentHash hash;
  hash.add_number(kVersion);
  hash.add_part(tokenizer.content_hash());
  hash.add_part(text_field);
  for (const Source& source : sources) {
    hash.add_number(static_cast<std::uint64_t>(source.kind));
    hash.add_part(source.file.text());
  }
  return hash.hex();
}

// nullopt: there is none, or it is damaged.
std::optional<TokenStream> open_finished(const fs::path& path, unsigned token_bits) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  auto file = MappedFile::open(path);
  if (!file || file->bytes().size() < sizeof(Header)) return std::nullopt;
  Header header;
  std::memcpy(&header, file->bytes().data(), sizeof header);
  const auto ids = file->bytes().subspan(sizeof header);
  Header expected;
  expected.token_bits = token_bits;
  expected.tokens = ids.size() / (token_bits / 8);
  expected.checksum = proto::checksum(ids);
  if (header != expected) return std::nullopt;
  TokenStream stream;
  const TokenStream::Layout layout{.token_bits = token_bits, .header_bytes = sizeof header};
  if (!stream.append(std::move(*file), path, layout)) return std::nullopt;
  return stream;
}

// Appends ids to the cache file, as narrow as they may be.
class TokenFile {
 public:
  TokenFile(AtomicFile file, unsigned token_bits)
      : file_(std::move(file)), token_bits_(token_bits) {}

  proto::Result<void> begin() { return file_.append(std::as_bytes(std::span(&header_, 1))); }

  proto::Result<void> append(std::span<const TokenId> ids) {
    header_.tokens += ids.size();
    if (token_bits_ == 32) return append(std::as_bytes(ids));
    narrow_.resize(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i) narrow_[i] = static_cast<std::uint16_t>(ids[i]);
    return append(std::as_bytes(std::span<const std::uint16_t>(narrow_)));
  }

  proto::Result<void> commit() {
    header_.token_bits = token_bits_;
    header_.checksum = checksum_.value();
    if (auto written = file_.overwrite(0, std::as_bytes(std::span(&header_, 1))); !written)
      return written;
    return file_.commit();
  }

 private:
  proto::Result<void> append(std::span<const std::byte> bytes) {
    checksum_.add(bytes);
    return file_.append(bytes);
  }

  AtomicFile file_;
  unsigned token_bits_;
  Header header_;
  proto::Checksum checksum_;
  std::vector<std::uint16_t> narrow_;
};

using Progress = std::function<void(const TokenizingProgress&)>;

// One document into the file. `done` is the progress before it.
proto::Result<void> write_document(std::string_view text, TokenEncoder& encoder,
                                   TokenId end_of_text, TokenFile& file,
                                   const std::function<void(std::size_t)>& progress) {
  if (text.empty()) return {};
  proto::Result<void> written{};
  encoder.encode(text, [&](std::span<const TokenId> ids) {
    if (written) written = file.append(ids);
    progress(encoder.bytes_encoded());
  });
  if (written) written = file.append(std::span(&end_of_text, 1));
  return written;
}

proto::Result<void> write_tokens(const std::vector<Source>& sources, const Tokenizer& tokenizer,
                                 const std::string& text_field, TokenFile& file,
                                 const Progress& progress) {
  constexpr std::uint64_t kProgressBytes = 1u << 20;
  TokenizingProgress now;
  for (const Source& source : sources) now.bytes_total += source.file.text().size();
  std::uint64_t shown = 0;
  const auto show = [&](std::uint64_t done) {
    if (!progress || done < shown + kProgressBytes) return;
    shown = done;
    progress({done, now.bytes_total});
  };

  TokenEncoder encoder(tokenizer);
  for (const Source& source : sources) {
    std::size_t before = 0;  // bytes of this file's documents before this one
    const DocumentSink write = [&](std::string_view text) {
      auto written =
          write_document(text, encoder, tokenizer.end_of_text(), file,
                         [&](std::size_t done) { show(now.bytes_done + before + done); });
      before += text.size();
      return written;
    };
    const proto::Result<void> read =
        source.kind == SourceKind::kText
            ? write(source.file.text())
            : read_records(source.file.text(), {source.name, text_field}, write);
    if (!read) return read;
    now.bytes_done += source.file.text().size();
  }
  now.bytes_done = now.bytes_total;
  if (progress) progress(now);
  return {};
}

// By who holds the lock.
proto::Result<void> make_tokens(const fs::path& path, unsigned token_bits,
                                const std::function<proto::Result<void>(TokenFile&)>& write) {
  // What writers left that died; whoever lives holds a lock on its own.
  if (auto cleared = remove_stale_partials(path.parent_path()); !cleared) return cleared;
  auto created = AtomicFile::create(path);
  if (!created) return created.error();
  TokenFile file(std::move(*created), token_bits);
  if (auto written = file.begin(); !written) return written;
  if (auto written = write(file); !written) return written;
  return file.commit();
}

}  // namespace

proto::Result<TokenStream> cached_tokens(const wire::DataSource& source, const Tokenizer& tokenizer,
                                         const Progress& progress) {
  auto sources = open_sources(source);
  if (!sources) return sources.error();
  const std::string key = cache_key(*sources, tokenizer, source.text_field());
  const fs::path folder = source.cache();
  const fs::path path = folder / (key + ".tokens");
  const unsigned token_bits = tokenizer.vocabulary_size() <= 1 << 16 ? 16 : 32;

  auto finished = open_finished(path, token_bits);
  if (!finished) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) {
      return proto::Error{
          proto::ErrorKind::kResource,
          fmt::format("{}: the token cache cannot be made: {}", folder.string(), error.message())};
    }
    const auto lock = FileLock::wait_for(folder / (key + ".lock"));
    if (!lock) return lock.error();
    finished = open_finished(path, token_bits);  // by another process, while this one waited
    if (!finished) {
      const auto made = make_tokens(path, token_bits, [&](TokenFile& file) {
        return write_tokens(*sources, tokenizer, source.text_field(), file, progress);
      });
      if (!made) return made.error();
      finished = open_finished(path, token_bits);
    }
  }
  if (!finished) {
    return proto::Error{proto::ErrorKind::kResource,
                        fmt::format("{}: reads back damaged; is the disk sound?", path.string())};
  }
  finished->set_content_hash(key);
  return std::move(*finished);
}

}  // namespace longhaul::compnode
