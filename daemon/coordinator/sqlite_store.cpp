// SQLite behind the Store interface: four tables of serialised messages.
#include "daemon/coordinator/sqlite_store.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <string_view>
#include <system_error>

namespace longhaul::daemon {

namespace {

constexpr int kSchemaVersion = 1;
constexpr int kApplicationId = 0x4c48434f;  // "LHCO", in the file's header

constexpr const char* kSchema = R"(
  CREATE TABLE epoch (id INTEGER PRIMARY KEY CHECK (id = 1), value INTEGER NOT NULL);
  CREATE TABLE jobs (id TEXT PRIMARY KEY, assignment BLOB NOT NULL, record BLOB NOT NULL);
  CREATE TABLE events (job TEXT NOT NULL, number INTEGER NOT NULL, event BLOB NOT NULL,
                       PRIMARY KEY (job, number)) WITHOUT ROWID;
  CREATE TABLE nodes (name TEXT PRIMARY KEY, status BLOB NOT NULL);
)";

}  // namespace

class SqliteStore::Database {
 public:
  Database(sqlite3* handle, std::filesystem::path file) : handle_(handle), file_(std::move(file)) {}
  ~Database() { sqlite3_close(handle_); }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  [[nodiscard]] sqlite3* handle() const { return handle_; }

  [[nodiscard]] proto::Error error(std::string_view doing) const {
    const int code = sqlite3_errcode(handle_) & 0xff;
    if (code == SQLITE_NOTADB) {
      return proto::configuration_error(
          fmt::format("{} is no store of a coordinator: give another `state` folder",
                      file_.string()));
    }
    const std::string way_out = code == SQLITE_BUSY || code == SQLITE_LOCKED
                                    ? "another longhaul-coordinator uses it: stop that one, or "
                                      "give another `state` folder"
                                    : "check the disk and the file's permissions";
    return {proto::ErrorKind::kResource, fmt::format("{}: cannot {}: {}: {}", file_.string(), doing,
                                                     sqlite3_errmsg(handle_), way_out)};
  }

  [[nodiscard]] proto::Result<void> run(const char* sql, std::string_view doing) {
    if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return error(doing);
    return {};
  }

  [[nodiscard]] int pragma(const char* name) {
    int value = -1;
    sqlite3_exec(
        handle_, fmt::format("PRAGMA {}", name).c_str(),
        [](void* into, int, char** values, char**) {
          *static_cast<int*>(into) = std::atoi(values[0]);
          return 0;
        },
        &value, nullptr);
    return value;
  }

  const std::filesystem::path& file() const { return file_; }

 private:
  sqlite3* handle_;
  std::filesystem::path file_;
};

namespace {

// One prepared statement; parameters count from 1 in the order of the bind calls, columns from 0.
// What is bound must outlive the step. The first error sticks and makes step() return it.
class Statement {
 public:
  Statement(sqlite3* handle, const char* sql) {
    status_ = sqlite3_prepare_v2(handle, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::uint64_t value) {
    return keep(sqlite3_bind_int64(statement_, ++bound_, static_cast<sqlite3_int64>(value)));
  }
  Statement& bind(const std::string& text) {
    return keep(sqlite3_bind_text64(statement_, ++bound_, text.data(), text.size(), SQLITE_STATIC,
                                    SQLITE_UTF8));
  }
  Statement& bind_bytes(const std::string& bytes) {
    return keep(
        sqlite3_bind_blob64(statement_, ++bound_, bytes.data(), bytes.size(), SQLITE_STATIC));
  }
  // SQLITE_ROW, SQLITE_DONE or an error.
  int step() { return status_ == SQLITE_OK ? sqlite3_step(statement_) : status_; }

  [[nodiscard]] std::uint64_t integer(int column) {
    return static_cast<std::uint64_t>(sqlite3_column_int64(statement_, column));
  }
  [[nodiscard]] std::string_view bytes(int column) {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }
  template <class Message>
  [[nodiscard]] bool parse(int column, Message& into) {
    const auto data = bytes(column);
    return into.ParseFromArray(data.data(), static_cast<int>(data.size()));
  }

 private:
  Statement& keep(int status) {
    if (status_ == SQLITE_OK) status_ = status;
    return *this;
  }
  sqlite3_stmt* statement_ = nullptr;
  int status_ = SQLITE_OK;
  int bound_ = 0;
};

bool done(Statement& statement) { return statement.step() == SQLITE_DONE; }

bool write_jobs(sqlite3* db, const Transition& transition) {
  for (const auto& assignment : transition.new_jobs) {
    const std::string bytes = assignment.SerializeAsString();
    Statement insert(db, "INSERT INTO jobs VALUES (?, ?, x'')");
    if (!done(insert.bind(assignment.job_id()).bind_bytes(bytes))) return false;
  }
  for (const auto& [id, record] : transition.jobs) {
    const std::string bytes = record.SerializeAsString();
    Statement update(db, "UPDATE jobs SET record = ? WHERE id = ?");
    if (!done(update.bind_bytes(bytes).bind(id))) return false;
  }
  for (const auto& id : transition.forgotten_jobs) {
    Statement events(db, "DELETE FROM events WHERE job = ?");
    Statement job(db, "DELETE FROM jobs WHERE id = ?");
    if (!done(events.bind(id)) || !done(job.bind(id))) return false;
  }
  return true;
}

bool write_events(sqlite3* db, const Transition& transition) {
  for (const auto& [id, event] : transition.events) {
    const std::string bytes = event.SerializeAsString();
    Statement insert(db, "INSERT INTO events VALUES (?, ?, ?)");
    if (!done(insert.bind(id).bind(event.index()).bind_bytes(bytes))) return false;
    if (event.index() < kKeptEventsPerJob) continue;
    Statement prune(db, "DELETE FROM events WHERE job = ? AND number <= ?");
    if (!done(prune.bind(id).bind(event.index() - kKeptEventsPerJob))) return false;
  }
  return true;
}

bool write_rest(sqlite3* db, const Transition& transition) {
  for (const auto& node : transition.nodes) {
    const std::string bytes = node.SerializeAsString();
    Statement upsert(db, "INSERT OR REPLACE INTO nodes VALUES (?, ?)");
    if (!done(upsert.bind(node.info().name()).bind_bytes(bytes))) return false;
  }
  if (transition.epoch) {
    Statement epoch(db, "INSERT OR REPLACE INTO epoch VALUES (1, ?)");
    if (!done(epoch.bind(*transition.epoch))) return false;
  }
  return true;
}

}  // namespace

SqliteStore::SqliteStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
SqliteStore::~SqliteStore() = default;

proto::Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::filesystem::path& file) {
  std::error_code made;
  std::filesystem::create_directories(file.parent_path(), made);
  if (made) {
    return proto::Error{proto::ErrorKind::kResource,
                        fmt::format("cannot make the folder {}: {}", file.parent_path().string(),
                                    made.message())};
  }
  sqlite3* handle = nullptr;
  const int opened = sqlite3_open_v2(file.c_str(), &handle,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  auto database = std::make_unique<Database>(handle, file);
  if (opened != SQLITE_OK) return database->error("open it");
  // The lock is held until the end, so that two coordinators never share a store.
  if (auto ran = database->run("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;"
                               "BEGIN IMMEDIATE; COMMIT",
                               "take hold of it");
      !ran) {
    return ran.error();
  }
  const int version = database->pragma("user_version");
  const int application = database->pragma("application_id");
  if (version == 0 && application == 0) {
    const auto setup =
        fmt::format("BEGIN; {} PRAGMA user_version = {}; PRAGMA application_id = {}; COMMIT",
                    kSchema, kSchemaVersion, kApplicationId);
    if (auto ran = database->run(setup.c_str(), "set it up"); !ran) return ran.error();
  } else if (version != kSchemaVersion || application != kApplicationId) {
    return proto::configuration_error(
        fmt::format("{} is no store of this version's coordinator (schema {}, expected {}): give "
                    "another `state` folder",
                    file.string(), version, kSchemaVersion));
  }
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(database)));
}

proto::Result<StoredState> SqliteStore::load() {
  StoredState state;
  sqlite3* db = database_->handle();
  bool sound = true;
  Statement epoch(db, "SELECT value FROM epoch");
  int status = epoch.step();
  if (status == SQLITE_ROW) state.epoch = epoch.integer(0);
  if (status != SQLITE_ROW && status != SQLITE_DONE) return database_->error("read it");

  Statement jobs(db, "SELECT assignment, record FROM jobs");
  while ((status = jobs.step()) == SQLITE_ROW) {
    StoredJob& job = state.jobs.emplace_back();
    sound &= jobs.parse(0, job.assignment) && jobs.parse(1, job.record) &&
             job.record.stages_size() == job.assignment.plan().stages_size();
  }
  if (status != SQLITE_DONE) return database_->error("read it");

  Statement nodes(db, "SELECT status FROM nodes");
  while ((status = nodes.step()) == SQLITE_ROW) sound &= nodes.parse(0, state.nodes.emplace_back());
  if (status != SQLITE_DONE) return database_->error("read it");
  if (!sound) {
    return proto::configuration_error(fmt::format(
        "{} is damaged: put it aside and start anew", database_->file().string()));
  }
  return state;
}

proto::Result<void> SqliteStore::commit(const Transition& transition) {
  const char* begin = transition.durable ? "PRAGMA synchronous = FULL; BEGIN"
                                         : "PRAGMA synchronous = NORMAL; BEGIN";
  if (auto began = database_->run(begin, "write"); !began) return began.error();
  sqlite3* db = database_->handle();
  if (!write_jobs(db, transition) || !write_events(db, transition) || !write_rest(db, transition)) {
    const proto::Error error = database_->error("write");
    sqlite3_exec(db, "ROLLBACK", nullptr, nullptr, nullptr);
    return error;
  }
  return database_->run("COMMIT", "write");
}

proto::Result<std::vector<wire::JobEvent>> SqliteStore::events(const std::string& job_id,
                                                               std::uint64_t from) {
  Statement select(database_->handle(),
                   "SELECT event FROM events WHERE job = ? AND number >= ? ORDER BY number");
  select.bind(job_id).bind(from);
  std::vector<wire::JobEvent> events;
  int status = SQLITE_OK;
  while ((status = select.step()) == SQLITE_ROW) {
    if (!select.parse(0, events.emplace_back())) {
      return proto::configuration_error(fmt::format(
          "{} is damaged: put it aside and start anew", database_->file().string()));
    }
  }
  if (status != SQLITE_DONE) return database_->error("read it");
  return events;
}

}  // namespace longhaul::daemon
