// What the shadow has seen, for people: a head with the sums, a table by shape, and what needs words below it.
#include <fmt/format.h>

#include <algorithm>

#include "control/render.h"

namespace turnout::control {
namespace {

namespace json = boost::json;

constexpr std::size_t shapes_shown = 30;
constexpr std::size_t shape_columns = 60;

// "3 different, 2 explained"; what is 0 is not said.
std::string counts_of(const json::value& body) {
  std::string out;
  for (const auto& [key, words] : {std::pair{"different", " different"}, std::pair{"failed", " failed"},
                                   std::pair{"unproven", " not checked again"}, std::pair{"explained", " explained"},
                                   std::pair{"unsettled", " unsettled"}, std::pair{"same", " the same"},
                                   std::pair{"caught_up", " the same once nothing was written in between"},
                                   std::pair{"not_compared", " not compared"}}) {
    if (number_at(body, key) > 0) out += (out.empty() ? "" : ", ") + text_at(body, key) + words;
  }
  return out;
}

std::string drops_of(const json::value& dropped) {
  std::string out;
  const auto* map = dropped.if_object();
  if (map == nullptr) return out;
  for (const auto& [reason, count] : *map) {
    if (one_line(count) == "0") continue;
    out += (out.empty() ? "" : ", ") + one_line(count) + " " + std::string(reason);
  }
  return out;
}

std::string verdict_of(const json::value& shape) {
  if (number_at(shape, "different") + number_at(shape, "failed") > 0) return "differs";
  if (text_at(shape, "slower") == "true") return "slower";
  if (number_at(shape, "explained") > 0) return "explained";
  if (number_at(shape, "same") + number_at(shape, "caught_up") > 0) return "same";
  return "not compared";
}

std::string errors_of(const json::value& shape, const std::string& writer, const std::string& side) {
  std::string out;
  for (const auto& error : list_at(shape, "errors")) {
    out += (out.empty() ? "errors: " : ", ") + text_at(error, "sqlstate") + " " + text_at(error, writer) + "x on " +
           writer + " and " + text_at(error, side) + "x on " + side;
  }
  return out;
}

std::string words_of(const json::value& shape, const std::string& writer, const std::string& side) {
  std::string out;
  const auto add = [&out](const std::string& words) {
    if (!words.empty()) out += wrapped(words, 2);
  };
  if (const auto words = text_at(shape, "difference"); !words.empty()) add("differs: " + words);
  if (const auto words = text_at(shape, "explanation"); !words.empty()) add("explained: " + words);
  if (const auto words = text_at(shape, "why_not_compared"); !words.empty()) add("not compared: " + words);
  add(errors_of(shape, writer, side));
  if (const auto* plans = value_at(shape, "plans").if_object()) {
    for (const auto& name : {writer, side}) {
      const auto* plan = plans->if_contains(name);
      if (plan == nullptr || !plan->is_string()) continue;
      out += "  plan on " + name + "\n";
      const std::string lines(plan->get_string());
      std::string_view left = lines;
      while (!left.empty()) {
        const auto end = std::min(left.find('\n'), left.size());
        out += "    " + harmless(std::string(left.substr(0, end))) + '\n';
        left.remove_prefix(std::min(end + 1, left.size()));
      }
    }
  }
  return out.empty() ? out : wrapped(text_at(shape, "shape"), 0) + out;
}

}  // namespace

std::string shadow_line(std::string_view deployment, const json::value& shadow) {
  if (text_at(shadow, "since").empty()) return "";
  const auto outcome = text_at(shadow, "outcome");
  std::string out = harmless(deployment) + ": shadow ";
  out += number_at(shadow, "percent") > 0 ? text_at(shadow, "percent") + " %" : std::string("off");
  out += " on " + text_at(shadow, "side") + (outcome.empty() ? "" : ": " + outcome);
  if (const auto counts = counts_of(shadow); !counts.empty()) out += " (" + counts + ")";
  return wrapped(out, 0);
}

std::string render_shadow(const json::value& body) {
  const auto writer = text_at(body, "writer"), side = text_at(body, "side");
  if (side.empty()) return render_done(body);
  const auto outcome = text_at(body, "outcome"), since = text_at(body, "since");
  if (since.empty()) return "no shadow yet\n  turnout shadow " + text_at(body, "deployment") + " on 10\n";
  const auto share = number_at(body, "percent") > 0 ? text_at(body, "percent") + " % of them" : std::string("now off");
  std::string out = wrapped((outcome.empty() ? "nothing compared yet" : outcome) + ": " + text_at(body, "runs") +
                                " reads run on " + side + " as well since " + since + ", " + share,
                            0);
  if (const auto counts = counts_of(body); !counts.empty()) out += wrapped(counts, 2);
  if (const auto drops = drops_of(value_at(body, "dropped")); !drops.empty()) out += wrapped("dropped: " + drops, 2);
  if (text_at(body, "standing_still") == "true")
    out += wrapped("standing still: a pause or a cutover is on, or the writer has moved: turnout shadow " +
                       text_at(body, "deployment") + " on " + text_at(body, "percent") + " goes on",
                   2);
  std::vector<std::vector<std::string>> rows;
  std::string words;
  const auto& shapes = list_at(body, "shapes");
  for (std::size_t i = 0; i < std::min(shapes.size(), shapes_shown); ++i) {
    const auto& shape = shapes[i];
    const auto& here = value_at(shape, writer);
    const auto& there = value_at(shape, side);
    rows.push_back({text_at(shape, "runs"), verdict_of(shape), text_at(here, "p50_ms"), text_at(there, "p50_ms"),
                    text_at(here, "p95_ms"), text_at(there, "p95_ms"),
                    shortened(harmless(text_at(shape, "shape")), shape_columns)});
    words += words_of(shape, writer, side);
  }
  const auto right = Align::right;
  out += '\n' + table({{"RUNS", right},
                       {"VERDICT"},
                       {"P50 " + writer, right},
                       {side, right},
                       {"P95 " + writer, right},
                       {side, right},
                       {"SHAPE"}},
                      rows, "nothing measured yet");
  if (shapes.size() > shapes_shown) out += fmt::format("and {} more: -o json has them\n", shapes.size() - shapes_shown);
  return words.empty() ? out : out + '\n' + words;
}

}  // namespace turnout::control
