// Reads corpus.tsv, or another file like it: one text a line with the verdict it must get.
#pragma once

#include <string>
#include <vector>

#include "router/classify.h"

namespace turnout::router::test {

struct CorpusRow {
  int line = 0;
  Verdict verdict = Verdict::write;
  bool is_missed = false;  // a plain read by its meaning, which the rules do not prove: any verdict but `read` is right
  std::string search_path;
  std::string sql;
};

[[nodiscard]] std::vector<CorpusRow> read_corpus(const std::string& name = "corpus.tsv");

}  // namespace turnout::router::test
