#include "control/gtid_set.h"

#include <algorithm>
#include <cctype>
#include <charconv>

namespace turnout::control {

namespace {

constexpr std::size_t uuid_bytes = 36;

std::string_view cut(std::string_view& text, char end) {
  const auto at = text.find(end);
  const auto part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return part;
}

std::optional<std::uint64_t> number_of(std::string_view digits) {
  std::uint64_t value = 0;
  const auto* const end = digits.data() + digits.size();
  const auto read = std::from_chars(digits.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end || value == 0) return std::nullopt;
  return value;
}

std::optional<GtidSpan> parse_span(std::string_view text) {
  const bool is_one = text.find('-') == std::string_view::npos;
  const auto first = number_of(cut(text, '-'));
  const auto last = is_one ? first : number_of(text);
  if (!first || !last || *last < *first) return std::nullopt;
  return GtidSpan{*first, *last};
}

bool is_tag(std::string_view text) {
  return !text.empty() && (std::isalpha(static_cast<unsigned char>(text[0])) != 0 || text[0] == '_');
}

// One server's part: "uuid:1-5:7:tag:1-3".
bool parse_origin(std::string_view text, GtidSet& set) {
  const auto uuid = cut(text, ':');
  if (uuid.size() != uuid_bytes || text.empty() || text.ends_with(':')) return false;
  std::string origin(uuid);
  while (!text.empty()) {
    const auto part = cut(text, ':');
    if (is_tag(part)) {
      origin = std::string(uuid) + ':' + std::string(part);
      continue;
    }
    const auto span = parse_span(part);
    if (!span) return false;
    set[origin].push_back(*span);
  }
  return true;
}

void put_in_order(std::vector<GtidSpan>& spans) {
  std::ranges::sort(spans, {}, &GtidSpan::first);
  std::vector<GtidSpan> apart;
  for (const auto& span : spans) {
    if (!apart.empty() && span.first <= apart.back().last + 1)
      apart.back().last = std::max(apart.back().last, span.last);
    else
      apart.push_back(span);
  }
  spans = std::move(apart);
}

// What is left of one span; `known` is in order and apart.
void leave(GtidSpan span, const std::vector<GtidSpan>& known, std::vector<GtidSpan>& left) {
  for (const auto& have : known) {
    if (have.last < span.first) continue;
    if (have.first > span.last) break;
    if (have.first > span.first) left.push_back({span.first, have.first - 1});
    if (have.last >= span.last) return;
    span.first = have.last + 1;
  }
  left.push_back(span);
}

}  // namespace

std::optional<GtidSet> parse_gtid_set(std::string_view text) {
  std::string plain;  // the server puts line ends behind commas
  std::ranges::copy_if(text, std::back_inserter(plain), [](char c) { return c != ' ' && c != '\n' && c != '\r'; });
  GtidSet set;
  std::string_view rest = plain;
  while (!rest.empty()) {
    if (!parse_origin(cut(rest, ','), set)) return std::nullopt;
  }
  for (auto& [origin, spans] : set) put_in_order(spans);
  return set;
}

// No comma stands between a session's number and the next server's uuid.
std::optional<GtidSet> parse_owned_gtids(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    const auto sign = text.find('#');
    plain += text.substr(0, sign);
    if (sign == std::string_view::npos) break;
    text.remove_prefix(sign + 1);
    const auto number = text.substr(0, text.find_first_of(":,"));
    const bool has_uuid = number.size() > uuid_bytes;
    text.remove_prefix(has_uuid ? number.size() - uuid_bytes : number.size());
    if (has_uuid) plain += ',';
  }
  return parse_gtid_set(plain);
}

GtidSet unite(GtidSet set, const GtidSet& more) {
  for (const auto& [origin, spans] : more) {
    auto& all = set[origin];
    all.insert(all.end(), spans.begin(), spans.end());
    put_in_order(all);
  }
  return set;
}

GtidSet subtract(const GtidSet& set, const GtidSet& known) {
  GtidSet out;
  for (const auto& [origin, spans] : set) {
    const auto found = known.find(origin);
    std::vector<GtidSpan> left;
    for (const auto& span : spans) leave(span, found == known.end() ? std::vector<GtidSpan>() : found->second, left);
    if (!left.empty()) out[origin] = std::move(left);
  }
  return out;
}

std::vector<std::string> texts_of(const GtidSet& set) {
  std::vector<std::string> out;
  for (const auto& [origin, spans] : set) {
    auto& text = out.emplace_back(origin);
    for (const auto& span : spans) {
      text += ':' + std::to_string(span.first);
      if (span.last != span.first) text += '-' + std::to_string(span.last);
    }
  }
  return out;
}

}  // namespace turnout::control
