// Reads one mapping of the tree, key by key, into plain fields; what is asked for is what is known.
//
// Every reader leaves its field at the default when the key is absent and adds a mistake when the value is wrong, so
// one run finds all of them. finish() reports the keys nobody asked for. The Walker outlives its sections and keeps the
// position of every key read, for the relations that are checked afterwards.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "conf/config.h"
#include "conf/document.h"
#include "conf/load.h"

namespace turnout::conf {

class Walker {
 public:
  explicit Walker(std::string file) : file_(std::move(file)) {}

  void add(Position at, std::string key, std::string text);
  // At the value of `key`, or of the nearest enclosing key that was written.
  void add_at_key(const std::string& key, std::string text);
  void remember(const std::string& key, Position at) { positions_[key] = at; }
  [[nodiscard]] bool was_written(const std::string& key) const { return positions_.contains(key); }

  [[nodiscard]] std::vector<Mistake>& mistakes() { return mistakes_; }

 private:
  std::string file_;
  std::map<std::string, Position> positions_;
  std::vector<Mistake> mistakes_;
};

template <typename Value>
struct Named {
  std::string_view name;
  Value value;
};

struct Range {
  std::uint64_t min = 0;
  std::uint64_t max = 0;
};

class Section {
 public:
  // `node` must be a map or null; anything else is a mistake and reads as empty. `path` is "" for the root.
  Section(Walker& walker, const TreeNode& node, std::string path);

  void text(std::string_view key, std::string& field);
  void texts(std::string_view key, std::vector<std::string>& field);
  void address(std::string_view key, Address& field);
  void addresses(std::string_view key, std::vector<Address>& field);
  void counts(std::string_view key, std::vector<std::uint32_t>& field, Range range);
  void count(std::string_view key, std::uint32_t& field, Range range);
  void duration(std::string_view key, std::uint32_t& field_ms, Range range_ms);
  void bytes(std::string_view key, std::uint64_t& field, Range range);
  void bytes(std::string_view key, std::uint32_t& field, Range range);

  template <typename Value>
  void choice(std::string_view key, Value& field, std::span<const Named<Value>> choices) {
    const TreeNode* node = scalar(key);
    if (node == nullptr) return;
    std::vector<std::string_view> names;
    for (const auto& [name, value] : choices) {
      if (node->scalar == name) {
        field = value;
        return;
      }
      names.push_back(name);
    }
    refuse_choice(key, *node, names);
  }

  // The value of a key whose inside has its own reader; an empty map when absent.
  [[nodiscard]] const TreeNode& inside(std::string_view key);
  [[nodiscard]] Section section(std::string_view key) { return {walker_, inside(key), path_of(key)}; }
  // Like text(), absent = nullptr, for values that need more looking at.
  [[nodiscard]] const TreeNode* scalar(std::string_view key);

  // Adds a mistake when the key is not there at all (an empty value has its own). `what` says what to write.
  void require(std::string_view key, std::string_view what);
  void finish();

  [[nodiscard]] std::string path_of(std::string_view key) const;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  const TreeNode* value(std::string_view key);
  const TreeNode* list(std::string_view key);
  void number(std::string_view key, std::uint64_t& field, Range range, bool is_duration, bool is_size);
  void refuse_choice(std::string_view key, const TreeNode& node, std::span<const std::string_view> names);

  Walker& walker_;
  const TreeNode* node_;
  bool is_misshapen_ = false;  // not a mapping, and said so: what is missing from it is no news
  std::string path_;
  std::vector<std::string_view> known_;
};

}  // namespace turnout::conf
