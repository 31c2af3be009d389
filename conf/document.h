// A YAML text as a tree that remembers where everything stood. The only place that knows yaml-cpp.
//
// Always true of a tree: depth, size and number of nodes are bounded; keys are plain words; there are no anchors,
// aliases, tags or second documents (each is a mistake: they make one value come from two places). Duplicate keys are
// mistakes too: yaml-cpp's own tree would silently keep the first.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "conf/load.h"

namespace turnout::conf {

struct Position {
  int line = 0;
  int column = 0;
};

struct Entry;

struct TreeNode {
  // refused: a mistake was reported for it already; readers pass over it in silence.
  enum class Kind { null, scalar, list, map, refused };
  Kind kind = Kind::null;
  Position at;
  std::string scalar;
  std::vector<TreeNode> items;  // list
  std::vector<Entry> entries;   // map, in the order written, duplicates left out

  [[nodiscard]] const Entry* find(std::string_view key) const;
};

struct Entry {
  std::string key;
  Position at;
  TreeNode value;
};

inline constexpr std::size_t text_bytes_max = 1024UL * 1024;
inline constexpr std::size_t depth_max = 16;  // the schema needs five
inline constexpr std::size_t nodes_max = 100'000;

// Mistakes of form are appended; a syntax error leaves what was read before it out, since half a file tells nothing.
[[nodiscard]] TreeNode read_document(const std::string& text, const std::string& file, std::vector<Mistake>& mistakes);

}  // namespace turnout::conf
