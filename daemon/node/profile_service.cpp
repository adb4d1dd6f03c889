// A queue of orders, a child process, and files.
#include "daemon/node/profile_service.hpp"

#include "proto/checksum.hpp"
#include "proto/profile_key.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

namespace longhaul::daemon {
namespace {

constexpr std::size_t kMaxProfileBytes = 16u << 20;
constexpr std::size_t kMaxOrders = 64;

// Empty if there is no such file, or it is damaged.
std::optional<std::string> kept_profile(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) return std::nullopt;
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!nlohmann::json::accept(text)) return std::nullopt;
  return text;
}

// Whole or not at all; a profile that cannot be kept is measured again another time.
bool keep(const std::filesystem::path& file, const std::string& text) {
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  const auto unfinished = file.string() + ".new";
  std::ofstream stream(unfinished, std::ios::binary);
  stream << text;
  stream.close();
  if (!stream) return false;
  std::filesystem::rename(unfinished, file, error);
  return !error;
}

}  // namespace

ProfileService::ProfileService(boost::asio::io_context& loop, Options options)
    : loop_(loop), options_(std::move(options)), deadline_(loop) {}

std::filesystem::path ProfileService::file_of(const wire::ProfileRequest& request) const {
  std::string text = request.device() + '\n';
  for (const auto& device : options_.devices) {
    if (device.name() == request.device()) text += device.description() + '\n';
  }
  text += fmt::format("{}\n{:016x}", request.threads(), proto::profile_key(request));
  return options_.folder /
         fmt::format("{:016x}.json", proto::checksum(std::as_bytes(std::span(text))));
}

void ProfileService::measure(const wire::MeasureProfile& order) {
  if (std::ranges::find(orders_, order.key(), &Order::key) != orders_.end()) return;
  Order next{.key = order.key(), .request = order.request(), .file = file_of(order.request())};
  if (const auto kept = kept_profile(next.file)) return answer(next.key, *kept);
  if (orders_.size() >= kMaxOrders) {
    return answer(next.key,
                  proto::Error{proto::ErrorKind::kResource, "too many models wait to be measured"});
  }
  orders_.push_back(std::move(next));
  if (!process_) start_next();
}

void ProfileService::start_next() {
  if (orders_.empty()) return;
  output_.clear();
  too_slow_ = false;
  auto process =
      ChildProcess::start(loop_, {.program = options_.worker,
                                  .arguments = {"profile"},
                                  .input = orders_.front().request.SerializeAsString(),
                                  .on_output =
                                      [this](const std::string& line) {
                                        if (output_.size() + line.size() < kMaxProfileBytes)
                                          output_ += line + '\n';
                                      },
                                  .on_exit = [this](ProcessExit exit) { on_exit(exit); }});
  if (!process) return finish(process.error());
  process_ = std::move(*process);
  options_.log("measures a model for the coordinator's planner");
  deadline_.expires_after(options_.patience);
  deadline_.async_wait([this](const boost::system::error_code& error) {
    if (error || !process_) return;
    too_slow_ = true;
    process_->signal(SIGKILL);
  });
}

void ProfileService::on_exit(ProcessExit exit) {
  const auto lines = process_->last_error_lines();
  process_.reset();
  deadline_.cancel();
  if (too_slow_) {
    return finish(
        proto::Error{proto::ErrorKind::kResource,
                     fmt::format("it takes over {:.0f} s to measure",
                                 std::chrono::duration<double>(options_.patience).count())});
  }
  if (!exit.succeeded()) {
    return finish(proto::Error{proto::ErrorKind::kInternal,
                               fmt::format("longhaul-worker profile {}{}", describe(exit),
                                           lines.empty() ? "" : ": " + lines.back())});
  }
  if (!nlohmann::json::accept(output_)) {
    return finish(proto::Error{proto::ErrorKind::kInternal,
                               "longhaul-worker profile does not answer in JSON"});
  }
  if (!keep(orders_.front().file, output_)) {
    options_.log(fmt::format("{} cannot be written: the profile is not kept",
                             orders_.front().file.string()));
  }
  finish(output_);
}

void ProfileService::finish(const proto::Result<std::string>& profile) {
  const std::string key = std::move(orders_.front().key);
  orders_.pop_front();
  answer(key, profile);
  boost::asio::post(loop_, [this, alive = std::weak_ptr(alive_)] {
    if (!alive.expired() && !process_) start_next();
  });
}

void ProfileService::answer(const std::string& key,
                            const proto::Result<std::string>& profile) const {
  wire::ProfileMeasured measured;
  measured.set_key(key);
  if (profile) {
    measured.set_profile(*profile);
  } else {
    measured.set_error(profile.error().message);
  }
  options_.on_done(measured);
}

}  // namespace longhaul::daemon
