#include "control/progress.h"

#include <fmt/format.h>

#include <array>
#include <ostream>
#include <string_view>

#include "control/render.h"

namespace turnout::control {
namespace {

// After these nothing is under way any more, so they have no time of their own.
constexpr std::array<std::string_view, 4> resting = {"idle", "cooling", "finished", "unknown"};

double milliseconds_at(const boost::json::object& data, double otherwise) {
  const auto* at = data.if_contains("at_ms");
  if (at == nullptr || !at->is_number()) return otherwise;
  return at->to_number<double>();
}

std::string counts_of(const boost::json::object& data) {
  std::string text;
  for (const auto& [key, value] : data) {
    constexpr std::array<std::string_view, 7> known = {"deployment", "epoch",    "phase",    "at_ms",
                                                       "type",       "sequence", "direction"};
    bool is_known = false;
    for (const auto name : known) is_known = is_known || name == std::string_view(key);
    const std::string shown = one_line(value);
    if (is_known || shown.empty() || value.is_structured()) continue;
    std::string name = harmless(std::string_view(key));
    for (char& letter : name) letter = letter == '_' ? ' ' : letter;
    text += (text.empty() ? "" : ", ") + name + " " + shown;
  }
  return text;
}

bool is_resting(const std::string& phase) {
  for (const auto name : resting) {
    if (name == phase) return true;
  }
  return false;
}

}  // namespace

void Progress::on_event(const std::string& type, const boost::json::object& data) {
  const auto* phase = data.if_contains("phase");
  if (type == "phase" && phase != nullptr && phase->is_string()) {
    const std::string name = one_line(*phase);
    const std::string counts = counts_of(data);
    if (!steps_.empty() && steps_.back().phase == name) {
      // News of the same phase: counts move on, the beginning stays.
      steps_.back().counts = counts;
      if (live_) redraw();
      return;
    }
    const double before = steps_.empty() ? 0 : steps_.back().at_ms;
    steps_.push_back({name, milliseconds_at(data, before), counts});
    if (live_) {
      redraw();
    } else {
      out_ << fmt::format("{:>9.1f} ms  {}", steps_.back().at_ms - steps_.front().at_ms, name)
           << (counts.empty() ? "" : "  " + counts) << std::endl;
    }
    return;
  }
  if (type == "alarm") {
    out_ << wrapped("ALARM: " + counts_of(data), 0) << std::flush;
    drawn_ = 0;  // what stands above it stays as it is
  }
}

std::string Progress::line(std::size_t at) const {
  const Step& step = steps_[at];
  const bool last = at + 1 == steps_.size();
  std::string time =
      last ? (is_resting(step.phase) ? "" : "…") : fmt::format("{:.1f} ms", steps_[at + 1].at_ms - step.at_ms);
  // fmt counts "…" as one column, as the terminal does.
  std::string text = fmt::format("  {:<11} {:>11}", step.phase, time);
  if (!step.counts.empty()) text += "  " + step.counts;
  return shortened(text, screen_columns - 1);
}

void Progress::redraw() {
  std::string text;
  if (drawn_ > 0) text += fmt::format("\x1b[{}A", drawn_);
  const std::size_t first = drawn_ == 0 && steps_.size() > 1 ? steps_.size() - 1 : first_;
  for (std::size_t at = first; at < steps_.size(); ++at) text += "\r\x1b[K" + line(at) + "\n";
  first_ = first;
  drawn_ = steps_.size() - first;
  out_ << text << std::flush;
}

}  // namespace turnout::control
