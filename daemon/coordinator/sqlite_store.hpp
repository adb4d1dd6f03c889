// The coordinator's store in one SQLite file, in write-ahead mode.
#pragma once

#include "daemon/coordinator/world.hpp"

#include <filesystem>
#include <memory>

namespace longhaul::daemon {

// A transition is one transaction. It survives the end of the process once commit() returns; a
// transition marked durable also survives a power cut (SQLite's synchronous=FULL), the others may
// then be lost from the last back to some earlier one, never in part.
class SqliteStore final : public Store {
 public:
  // Makes file and folder if they are not there. kResource if that is impossible or another process
  // holds the file; kConfiguration if the file is no store of this version.
  [[nodiscard]] static proto::Result<std::unique_ptr<SqliteStore>> open(
      const std::filesystem::path& file);
  ~SqliteStore() override;

  [[nodiscard]] proto::Result<StoredState> load();
  [[nodiscard]] proto::Result<void> commit(const Transition& transition) override;
  [[nodiscard]] proto::Result<std::vector<wire::JobEvent>> events(const std::string& job_id,
                                                                  std::uint64_t from) override;

 private:
  class Database;
  explicit SqliteStore(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

}  // namespace longhaul::daemon
