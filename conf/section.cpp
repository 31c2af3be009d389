#include "conf/section.h"

#include <algorithm>
#include <utility>

#include "conf/address.h"
#include "conf/hints.h"
#include "conf/nearest.h"
#include "conf/quantity.h"

namespace turnout::conf {
namespace {

constexpr std::size_t items_max = 1'000;

const TreeNode& nothing() {
  static const TreeNode empty{TreeNode::Kind::map, {}, {}, {}, {}};
  return empty;
}

std::string_view kind_text(TreeNode::Kind kind) {
  switch (kind) {
    case TreeNode::Kind::null:
      return "nothing";
    case TreeNode::Kind::scalar:
      return "a single value";
    case TreeNode::Kind::list:
      return "a list";
    case TreeNode::Kind::map:
      return "a mapping";
    case TreeNode::Kind::refused:
      break;
  }
  return "a refused value";
}

std::string joined(std::span<const std::string_view> names) {
  std::string text;
  for (const auto name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

std::string suggestion(std::string_view written, std::span<const std::string_view> names) {
  const auto near = nearest(written, names);
  return near.empty() ? std::string{} : "; did you mean " + std::string(near) + "?";
}

}  // namespace

void Walker::add(Position at, std::string key, std::string text) {
  mistakes_.push_back({file_, at.line, at.column, std::move(key), std::move(text)});
}

void Walker::add_at_key(const std::string& key, std::string text) {
  for (std::string near = key; !near.empty();) {
    if (const auto found = positions_.find(near); found != positions_.end()) {
      add(found->second, key, std::move(text));
      return;
    }
    const auto dot = near.rfind('.');
    near = dot == std::string::npos ? std::string{} : near.substr(0, dot);
  }
  add({1, 1}, key, std::move(text));
}

Section::Section(Walker& walker, const TreeNode& node, std::string path)
    : walker_(walker), node_(&node), path_(std::move(path)) {
  if (node.kind == TreeNode::Kind::map) return;
  is_misshapen_ = node.kind != TreeNode::Kind::null;
  if (node.kind != TreeNode::Kind::null && node.kind != TreeNode::Kind::refused) {
    walker_.add(node.at, path_, "must be a mapping (key: value), not " + std::string(kind_text(node.kind)));
  }
  node_ = &nothing();
}

std::string Section::path_of(std::string_view key) const {
  return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
}

// Every reader comes through here: the key counts as known and its place is remembered.
const TreeNode* Section::value(std::string_view key) {
  known_.push_back(key);
  const Entry* entry = node_->find(key);
  if (entry == nullptr) return nullptr;
  // An empty value has no place of its own, and a mapping's is its first key: both are best found by their own key.
  const bool is_found_by_key = entry->value.kind == TreeNode::Kind::null || entry->value.kind == TreeNode::Kind::map;
  walker_.remember(path_of(key), is_found_by_key ? entry->at : entry->value.at);
  return &entry->value;
}

const TreeNode* Section::scalar(std::string_view key) {
  const TreeNode* node = value(key);
  if (node == nullptr || node->kind == TreeNode::Kind::refused) return nullptr;
  if (node->kind == TreeNode::Kind::null || (node->kind == TreeNode::Kind::scalar && node->scalar.empty())) {
    walker_.add_at_key(path_of(key), "has no value; write one or remove the key");
    return nullptr;
  }
  if (node->kind != TreeNode::Kind::scalar) {
    walker_.add_at_key(path_of(key), "must be a single value, not " + std::string(kind_text(node->kind)));
    return nullptr;
  }
  return node;
}

const TreeNode* Section::list(std::string_view key) {
  const TreeNode* node = value(key);
  if (node == nullptr || node->kind == TreeNode::Kind::refused) return nullptr;
  if (node->kind != TreeNode::Kind::list) {
    walker_.add_at_key(path_of(key), "must be a list, [a, b], not " + std::string(kind_text(node->kind)));
    return nullptr;
  }
  if (node->items.size() > items_max) {
    walker_.add_at_key(path_of(key), "has more than " + std::to_string(items_max) + " items");
    return nullptr;
  }
  for (const auto& item : node->items) {
    if (item.kind == TreeNode::Kind::scalar && !item.scalar.empty()) continue;
    if (item.kind == TreeNode::Kind::refused) return nullptr;
    walker_.add(item.at, path_of(key), "each item must be a single value, not " + std::string(kind_text(item.kind)));
    return nullptr;
  }
  return node;
}

const TreeNode& Section::inside(std::string_view key) {
  const TreeNode* node = value(key);
  return node == nullptr ? nothing() : *node;
}

void Section::text(std::string_view key, std::string& field) {
  if (const TreeNode* node = scalar(key)) field = node->scalar;
}

void Section::texts(std::string_view key, std::vector<std::string>& field) {
  const TreeNode* node = list(key);
  if (node == nullptr) return;
  field.clear();
  for (const auto& item : node->items) {
    if (std::ranges::find(field, item.scalar) != field.end()) {
      walker_.add(item.at, path_of(key), "\"" + item.scalar + "\" is listed twice");
    }
    field.push_back(item.scalar);
  }
}

void Section::address(std::string_view key, Address& field) {
  const TreeNode* node = scalar(key);
  if (node == nullptr) return;
  auto parsed = parse_address(node->scalar);
  if (!parsed.is_ok()) walker_.add(node->at, path_of(key), std::move(parsed.error));
  field = std::move(parsed.value);
}

void Section::addresses(std::string_view key, std::vector<Address>& field) {
  const TreeNode* node = list(key);
  if (node == nullptr) return;
  if (node->items.empty()) walker_.add(node->at, path_of(key), "is empty; write at least one address");
  field.clear();
  for (std::size_t i = 0; i < node->items.size(); ++i) {
    const TreeNode& item = node->items[i];
    // Relations between addresses point at the item, not at the list.
    walker_.remember(path_of(key) + "." + std::to_string(i), item.at);
    auto parsed = parse_address(item.scalar);
    if (!parsed.is_ok()) walker_.add(item.at, path_of(key), std::move(parsed.error));
    field.push_back(std::move(parsed.value));
  }
}

void Section::counts(std::string_view key, std::vector<std::uint32_t>& field, Range range) {
  const TreeNode* node = list(key);
  if (node == nullptr) return;
  field.clear();
  for (const auto& item : node->items) {
    auto parsed = parse_count(item.scalar);
    if (parsed.is_ok() && (parsed.value < range.min || parsed.value > range.max)) {
      parsed.error = item.scalar + " is outside " + std::to_string(range.min) + " to " + std::to_string(range.max);
    }
    if (!parsed.is_ok()) {
      walker_.add(item.at, path_of(key), std::move(parsed.error));
      continue;
    }
    field.push_back(static_cast<std::uint32_t>(parsed.value));
  }
}

void Section::number(std::string_view key, std::uint64_t& field, Range range, bool is_duration, bool is_size) {
  const TreeNode* node = scalar(key);
  if (node == nullptr) return;
  auto parsed = is_duration ? parse_duration_ms(node->scalar)
                : is_size   ? parse_bytes(node->scalar)
                            : parse_count(node->scalar);
  if (!parsed.is_ok()) {
    walker_.add(node->at, path_of(key), std::move(parsed.error));
    return;
  }
  if (parsed.value < range.min || parsed.value > range.max) {
    const auto shown = [&](std::uint64_t value) {
      return is_duration ? duration_text(value) : is_size ? bytes_text(value) : std::to_string(value);
    };
    walker_.add(node->at, path_of(key), node->scalar + " is outside " + shown(range.min) + " to " + shown(range.max));
    return;
  }
  field = parsed.value;
}

void Section::count(std::string_view key, std::uint32_t& field, Range range) {
  std::uint64_t wide = field;
  number(key, wide, range, false, false);
  field = static_cast<std::uint32_t>(wide);
}

void Section::duration(std::string_view key, std::uint32_t& field_ms, Range range_ms) {
  std::uint64_t wide = field_ms;
  number(key, wide, range_ms, true, false);
  field_ms = static_cast<std::uint32_t>(wide);
}

void Section::bytes(std::string_view key, std::uint64_t& field, Range range) {
  number(key, field, range, false, true);
}

void Section::bytes(std::string_view key, std::uint32_t& field, Range range) {
  std::uint64_t wide = field;
  number(key, wide, range, false, true);
  field = static_cast<std::uint32_t>(wide);
}

void Section::refuse_choice(std::string_view key, const TreeNode& node, std::span<const std::string_view> names) {
  walker_.add(node.at, path_of(key),
              "\"" + node.scalar + "\" is not one of " + joined(names) + suggestion(node.scalar, names));
}

void Section::require(std::string_view key, std::string_view what) {
  if (node_->find(key) == nullptr && !is_misshapen_) {
    walker_.add_at_key(path_of(key), "is required; write " + std::string(what));
  }
}

void Section::finish() {
  for (const auto& entry : node_->entries) {
    if (std::ranges::find(known_, entry.key) != known_.end()) continue;
    std::string text = "unknown key";
    if (const auto hint = hint_for(entry.key); !hint.empty()) {
      text += "; " + std::string(hint);
    } else if (const auto near = suggestion(entry.key, known_); !near.empty()) {
      text += near;
    } else {
      text += "; known here: " + joined(known_);
    }
    walker_.add(entry.at, path_of(entry.key), std::move(text));
  }
}

}  // namespace turnout::conf
