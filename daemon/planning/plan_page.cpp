// Rectangles at their times.
#include "daemon/planning/plan_page.hpp"

#include "daemon/cli/format.hpp"
#include "daemon/planning/plan_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace longhaul::daemon {
namespace {

constexpr double kLeft = 170.0;
constexpr double kWidth = 1080.0;  // of a step
constexpr double kStageHeight = 26.0;
constexpr double kLinkHeight = 9.0;
constexpr double kGap = 6.0;
constexpr double kTop = 34.0;
constexpr double kMemoryWidth = 640.0;
// Narrower ones could not be seen.
constexpr double kLeastWidth = 0.4;
// Of the timeline: more are merged, so that the page stays under a megabyte and a half.
constexpr double kMostRectangles = 7000.0;
constexpr double kSeriesOfStage = 5.0;  // three kinds of action, two directions of messages

struct Series {
  std::string_view name;
  std::string_view colour;
};
constexpr Series kForward{"forward", "#4477aa"};
constexpr Series kInput{"input gradient", "#228833"};
constexpr Series kWeight{"weight gradient", "#99cc66"};
constexpr Series kIdle{"idle", "#eeeeee"};
constexpr Series kForwardTransfer{"transfer forward", "#cc9933"};
constexpr Series kBackwardTransfer{"transfer backward", "#aa3377"};
constexpr std::array kLegend{kForward, kInput, kWeight, kIdle, kForwardTransfer, kBackwardTransfer};

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string rectangle(double x, double y, double width, double height, std::string_view colour,
                      const std::string& title) {
  return fmt::format(
      "<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" fill=\"{}\">"
      "<title>{}</title></rect>\n",
      x, y, std::max(width, kLeastWidth), height, colour, escaped(title));
}

std::string label(double x, double y, const std::string& words, std::string_view anchor = "start",
                  int size = 12) {
  return fmt::format(
      "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" text-anchor=\"{}\">{}</text>\n", x, y, size,
      anchor, escaped(words));
}

Series series_of(proto::ActionKind kind) {
  switch (kind) {
    case proto::ActionKind::kForward:
      return kForward;
    case proto::ActionKind::kBackwardInput:
      return kInput;
    case proto::ActionKind::kBackwardWeight:
      return kWeight;
  }
  return kIdle;
}

std::string stage_name(const StageRow& row, std::size_t s) {
  return row.more_devices.empty() ? fmt::format("{} {}", s, row.node)
                                  : fmt::format("{} {} +{}", s, row.node, row.more_devices.size());
}

class Timeline {
 public:
  explicit Timeline(const PlanReport& report) : report_(report) {
    start_s_ = scheduler::kUnlimited;
    for (const auto& stage : report.simulation.stages) {
      start_s_ = std::min(start_s_, stage.start_s);
      end_s_ = std::max(end_s_, stage.end_s);
    }
  }

  [[nodiscard]] double height() const {
    return kTop + static_cast<double>(report_.stages.size()) * row_height() + 30.0;
  }

  [[nodiscard]] std::string svg() const {
    std::string out = axis();
    for (std::size_t s = 0; s < report_.stages.size(); ++s) out += row(s);
    const auto count =
        static_cast<double>(report_.simulation.actions.size() + report_.simulation.messages.size());
    if (count > kMostRectangles) return out + merged();
    for (const auto& span : report_.simulation.actions) {
      const Series series = series_of(span.kind);
      out += rectangle(x(span.start_s), y(span.stage), x(span.end_s) - x(span.start_s),
                       kStageHeight, series.colour,
                       fmt::format("{}, micro-batch {}: {:.4g} ms", series.name, span.micro_batch,
                                   (span.end_s - span.start_s) * 1e3));
    }
    for (const auto& span : report_.simulation.messages) out += message(span);
    return out;
  }

 private:
  static double row_height() { return kStageHeight + 2.0 * kLinkHeight + kGap; }
  [[nodiscard]] double x(double at_s) const {
    return kLeft + kWidth * (at_s - start_s_) / (end_s_ - start_s_);
  }
  [[nodiscard]] static double y(std::size_t stage) {
    return kTop + static_cast<double>(stage) * row_height();
  }

  [[nodiscard]] std::string axis() const {
    std::string out;
    constexpr int kTicks = 8;
    for (int i = 0; i <= kTicks; ++i) {
      const double at_s = start_s_ + (end_s_ - start_s_) * i / kTicks;
      out += fmt::format(
          "<line x1=\"{0:.1f}\" y1=\"{1}\" x2=\"{0:.1f}\" y2=\"{2}\" stroke=\"#bbbbbb\"/>\n",
          x(at_s), kTop - 8.0, height() - 24.0);
      out += label(x(at_s), kTop - 14.0, fmt::format("{:.3g} s", at_s - start_s_), "middle", 11);
    }
    return out;
  }

  [[nodiscard]] std::string row(std::size_t s) const {
    const StageRow& stage = report_.stages[s];
    const auto& outcome = report_.simulation.stages[s];
    return label(8.0, y(s) + 17.0, stage_name(stage, s)) +
           rectangle(x(outcome.start_s), y(s), x(outcome.end_s) - x(outcome.start_s), kStageHeight,
                     kIdle.colour, fmt::format("stage {}", s));
  }

  // In the row of the stage that it leaves towards the next one, or comes from it.
  [[nodiscard]] std::string message(const scheduler::TransferSpan& span) const {
    const auto [from, to] = report_.transfers[span.transfer];
    const bool backward = from > to;
    const Series series = backward ? kBackwardTransfer : kForwardTransfer;
    const double top = y(std::min(from, to)) + kStageHeight + (backward ? kLinkHeight : 0.0);
    return rectangle(
        x(span.start_s), top + 1.0, x(span.arrived_s) - x(span.start_s), kLinkHeight - 2.0,
        series.colour,
        fmt::format("{} {} to {}, micro-batch {}: {:.4g} ms after {:.4g} ms of waiting",
                    series.name, from, to, span.micro_batch, (span.arrived_s - span.start_s) * 1e3,
                    (span.start_s - span.made_s) * 1e3));
  }

  // Bars of equal width; in each, what a row does there, one kind after the other, as wide as its
  // share of the bar.
  [[nodiscard]] std::string merged() const {
    const double rows = static_cast<double>(report_.stages.size());
    const auto bars = static_cast<std::size_t>(
        std::clamp(kMostRectangles / (rows * kSeriesOfStage), 8.0, kWidth / 2.0));
    // Seconds of each kind, by row and bar: three actions, then messages forward and backward.
    std::vector<std::array<double, 5>> busy(report_.stages.size() * bars);
    const double bar_s = (end_s_ - start_s_) / static_cast<double>(bars);
    const auto add = [&](std::size_t row, std::size_t kind, double from_s, double to_s) {
      const auto bar_of = [&](double at_s) {
        return std::min(bars - 1, static_cast<std::size_t>(std::max(0.0, at_s / bar_s)));
      };
      for (std::size_t b = bar_of(from_s - start_s_); b <= bar_of(to_s - start_s_); ++b) {
        const double begin_s = start_s_ + static_cast<double>(b) * bar_s;
        busy[row * bars + b][kind] +=
            std::max(0.0, std::min(to_s, begin_s + bar_s) - std::max(from_s, begin_s));
      }
    };
    for (const auto& span : report_.simulation.actions) {
      add(span.stage, static_cast<std::size_t>(span.kind), span.start_s, span.end_s);
    }
    for (const auto& span : report_.simulation.messages) {
      const auto [from, to] = report_.transfers[span.transfer];
      add(std::min(from, to), from > to ? 4 : 3, span.start_s, span.arrived_s);
    }
    std::string out;
    for (std::size_t row = 0; row < report_.stages.size(); ++row) {
      for (std::size_t b = 0; b < bars; ++b) {
        out += bar(row, start_s_ + static_cast<double>(b) * bar_s, bar_s, busy[row * bars + b]);
      }
    }
    return out;
  }

  [[nodiscard]] std::string bar(std::size_t row, double at_s, double bar_s,
                                const std::array<double, 5>& busy) const {
    constexpr std::array kKinds{proto::ActionKind::kForward, proto::ActionKind::kBackwardInput,
                                proto::ActionKind::kBackwardWeight};
    std::string out;
    double from_s = at_s;
    for (const proto::ActionKind kind : kKinds) {
      const double share_s = busy[static_cast<std::size_t>(kind)];
      out += plain(x(from_s), y(row), x(from_s + share_s) - x(from_s), kStageHeight,
                   series_of(kind).colour);
      from_s += share_s;
    }
    for (const bool backward : {false, true}) {
      // Several at a time count once each.
      const double share_s = std::min(bar_s, busy[backward ? 4 : 3]);
      out += plain(x(at_s), y(row) + kStageHeight + (backward ? kLinkHeight : 0.0) + 1.0,
                   x(at_s + share_s) - x(at_s), kLinkHeight - 2.0,
                   (backward ? kBackwardTransfer : kForwardTransfer).colour);
    }
    return out;
  }

  static std::string plain(double left, double top, double width, double height,
                           std::string_view colour) {
    if (width < 0.05) return {};
    return fmt::format(
        "<rect x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" height=\"{:.0f}\" fill=\"{}\"/>\n", left,
        top, width, height, colour);
  }

  const PlanReport& report_;
  double start_s_ = 0.0;
  double end_s_ = 0.0;
};

struct MemoryPart {
  Series series;
  std::uint64_t bytes;
};

std::array<MemoryPart, 5> parts_of(const StageRow& row) {
  const scheduler::MemoryEstimate& memory = row.memory;
  const std::uint64_t named =
      memory.parameters + memory.gradients + memory.optimizer + memory.activations;
  return {{{{"parameters", "#4477aa"}, memory.parameters},
           {{"gradients", "#66ccee"}, memory.gradients},
           {{"optimizer", "#228833"}, memory.optimizer},
           {{"activations", "#ccbb44"}, memory.activations},
           {{"workspace and boundaries", "#bbbbbb"},
            row.memory_bytes - std::min(named, row.memory_bytes)}}};
}

std::string legend(const auto& series, double y) {
  std::string out;
  double x = kLeft;
  for (const Series& one : series) {
    out += rectangle(x, y, 14.0, 12.0, one.colour, std::string(one.name));
    out += label(x + 19.0, y + 11.0, std::string(one.name));
    x += 50.0 + 7.0 * static_cast<double>(one.name.size());
  }
  return out;
}

std::string memory_bars(const PlanReport& report, double top) {
  std::uint64_t most = 1;
  for (const StageRow& row : report.stages) {
    most = std::max({most, row.memory_bytes, row.capacity_bytes});
  }
  std::string out;
  for (std::size_t s = 0; s < report.stages.size(); ++s) {
    const StageRow& row = report.stages[s];
    const double y = top + static_cast<double>(s) * (kStageHeight + kGap);
    const auto width = [&](std::uint64_t bytes) {
      return kMemoryWidth * static_cast<double>(bytes) / static_cast<double>(most);
    };
    out += label(8.0, y + 17.0, stage_name(row, s));
    out += rectangle(kLeft, y, width(row.capacity_bytes), kStageHeight, kIdle.colour,
                     "capacity " + format_bytes(row.capacity_bytes));
    double x = kLeft;
    for (const MemoryPart& part : parts_of(row)) {
      if (part.bytes == 0) continue;
      out += rectangle(x, y + 3.0, width(part.bytes), kStageHeight - 6.0, part.series.colour,
                       fmt::format("{} {}", part.series.name, format_bytes(part.bytes)));
      x += width(part.bytes);
    }
    out += label(
        kLeft + width(std::max(row.capacity_bytes, row.memory_bytes)) + 8.0, y + 17.0,
        fmt::format("{} of {}", format_bytes(row.memory_bytes), format_bytes(row.capacity_bytes)));
  }
  return out;
}

}  // namespace

std::string plan_page(const PlanReport& report) {
  const Timeline timeline(report);
  const double memory_top = timeline.height() + 44.0;
  const double height =
      memory_top + static_cast<double>(report.stages.size()) * (kStageHeight + kGap) + 44.0;
  std::array<Series, 6> memory_series;
  if (!report.stages.empty()) {
    const auto parts = parts_of(report.stages.front());
    std::ranges::transform(parts, memory_series.begin(), &MemoryPart::series);
  }
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\n"
      "<style>body{{font-family:'DejaVu Sans',sans-serif;margin:24px;color:#222}}"
      "pre{{font-size:12px;overflow-x:auto}}</style></head>\n<body><h1>{0}</h1>\n"
      "<h2>One step</h2>\n"
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1290\" height=\"{1:.0f}\" "
      "font-family=\"DejaVu Sans, sans-serif\">\n{2}{3}{4}{5}{6}</svg>\n<pre>{7}</pre>\n"
      "</body></html>\n",
      escaped(fmt::format("{}: {:.3g} s a step", report.model, report.cost.step_s)), height,
      timeline.svg(), legend(kLegend, timeline.height() - 14.0),
      label(8.0, memory_top - 14.0, "Memory", "start", 16), memory_bars(report, memory_top),
      legend(memory_series, height - 24.0), escaped(plan_text(report)));
}

}  // namespace longhaul::daemon
