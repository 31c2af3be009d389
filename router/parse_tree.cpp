#include "router/parse_tree.h"

#include <utility>

namespace turnout::router {

namespace {

class Reader {
 public:
  Reader(std::string_view json, std::vector<ParseTree::Value>& values) : json_(json), values_(values) {
    values_.reserve(json.size() / 16 + 16);
    values_.emplace_back();  // index 0 means "none"
  }

  // One turn a value: parents wait in open_, so depth is memory, not stack.
  bool run() {
    if (!value({})) return false;
    while (!open_.empty()) {
      const bool in_object = values_[open_.back().index].kind == ParseTree::Kind::object;
      if (take(in_object ? '}' : ']')) {
        open_.pop_back();
        continue;
      }
      if (open_.back().last_child != 0 && !take(',')) return false;
      std::string_view key;
      if (in_object && !(string(key) && take(':'))) return false;
      if (!value(key)) return false;
    }
    return at_ == json_.size();
  }

  [[nodiscard]] std::uint32_t depth_max() const { return depth_max_; }

 private:
  struct Open {
    std::uint32_t index = 0;
    std::uint32_t last_child = 0;
  };

  [[nodiscard]] bool take(char c) {
    if (at_ == json_.size() || json_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool string(std::string_view& out) {
    if (!take('"')) return false;
    const std::size_t start = at_;
    while (at_ < json_.size() && json_[at_] != '"') at_ += json_[at_] == '\\' ? 2U : 1U;
    if (at_ >= json_.size()) return false;
    out = json_.substr(start, at_ - start);
    ++at_;
    return true;
  }

  bool value(std::string_view key) {
    const auto index = static_cast<std::uint32_t>(values_.size());
    ParseTree::Value value;
    value.key = key;
    value.depth = static_cast<std::uint32_t>(open_.size());
    if (value.depth > depth_max_) depth_max_ = value.depth;
    if (!open_.empty()) {
      Open& parent = open_.back();
      (parent.last_child == 0 ? values_[parent.index].first : values_[parent.last_child].next) = index;
      parent.last_child = index;
    }
    if (at_ == json_.size()) return false;
    if (json_[at_] == '"') {
      value.kind = ParseTree::Kind::string;
      if (!string(value.raw)) return false;
    } else if (json_[at_] == '{' || json_[at_] == '[') {
      value.kind = json_[at_] == '{' ? ParseTree::Kind::object : ParseTree::Kind::array;
      ++at_;
      open_.push_back({index, 0});
    } else {
      const std::size_t start = at_;
      while (at_ < json_.size() && json_[at_] != ',' && json_[at_] != '}' && json_[at_] != ']') ++at_;
      value.raw = json_.substr(start, at_ - start);
      if (value.raw.empty()) return false;
    }
    values_.push_back(value);
    return true;
  }

  std::string_view json_;
  std::vector<ParseTree::Value>& values_;
  std::vector<Open> open_;
  std::size_t at_ = 0;
  std::uint32_t depth_max_ = 0;
};

// The writer escapes only control characters and '<' this way: always below 0x80.
char code_unit(std::string_view four) {
  unsigned unit = 0;
  for (const char c : four) {
    const unsigned digit = c <= '9' ? static_cast<unsigned>(c - '0') : static_cast<unsigned>((c | 32) - 'a' + 10);
    unit = unit << 4 | (digit & 15U);
  }
  return static_cast<char>(unit);
}

}  // namespace

std::optional<ParseTree> ParseTree::read(std::string json) {
  ParseTree tree;
  tree.json_ = std::move(json);
  tree.json_.reserve(64);  // never inside the object itself, where moving the tree would move the bytes
  Reader reader(tree.json_, tree.values_);
  if (!reader.run()) return std::nullopt;
  tree.depth_max_ = reader.depth_max();
  return tree;
}

const ParseTree::Value* ParseTree::child(const Value& of, std::string_view key) const {
  for (const Value* value = first_child(of); value != nullptr; value = next_sibling(*value)) {
    if (value->key == key) return value;
  }
  return nullptr;
}

std::string ParseTree::text(const Value& string) const {
  std::string out;
  const std::string_view raw = string.raw;
  out.reserve(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\' || i + 1 == raw.size()) {
      out += raw[i];
      continue;
    }
    switch (raw[++i]) {
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u':
        out += code_unit(raw.substr(i + 1, 4));
        i += 4;
        break;
      default:
        out += raw[i];
    }
  }
  return out;
}

std::string ParseTree::child_text(const Value& of, std::string_view key) const {
  const Value* value = child(of, key);
  return value == nullptr || value->kind != Kind::string ? std::string() : text(*value);
}

}  // namespace turnout::router
