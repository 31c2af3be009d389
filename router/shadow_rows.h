// Why do two answers differ? Looks at the rows themselves, which only an answer on trial keeps, and says it in words
// that hold no value of any row: names of columns, numbers of rows.
//
// Some differences are none of green's doing, and are told as explained: floats that differ in their last digits
// (another order of adding up), rows that sort alike or whose text another collation sorts elsewhere, an aggregate that
// was told no order. Whoever reads the report decides whether he minds; nothing of it is hidden, and what is not proven
// to be one of these is a difference.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "router/shadow_answer.h"
#include "router/shadow_facts.h"
#include "router/shadow_match.h"

namespace turnout::router {

struct KeptAnswer {
  AnswerDigest digest;
  std::vector<AnswerColumn> columns;
  std::string rows;       // AnswerReader::kept()
  bool has_rows = false;  // AnswerReader::keeps_rows()
};

// What `kept` holds, views into it. Nothing: NULL.
[[nodiscard]] std::vector<std::vector<std::optional<std::string_view>>> rows_of(const std::string& kept);

struct Explanation {
  bool is_explained = false;  // else it is a difference
  std::string text;
};

[[nodiscard]] Explanation explain_difference(const KeptAnswer& writer, const KeptAnswer& other, ShadowMatch match,
                                             const ShadowFacts& facts);

}  // namespace turnout::router
