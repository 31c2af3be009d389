#include "control/compare_sql.h"

#include <algorithm>

namespace turnout::control {

namespace {

const ColumnFact* find_column(const TableFacts& facts, const std::string& name) {
  const auto found =
      std::find_if(facts.columns.begin(), facts.columns.end(), [&](const auto& one) { return one.name == name; });
  return found == facts.columns.end() ? nullptr : &*found;
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::string listed(const std::vector<std::string>& items) {
  std::string out;
  for (const auto& item : items) out += (out.empty() ? "" : ", ") + item;
  return out;
}

std::string column(const std::string& name) {
  return "t." + quote_identifier(name);
}

std::string literal(const std::string& text, const std::string& type) {
  return quote_literal(text) + "::" + type;
}

std::string hash_of(HashMethod method, const std::string& text) {
  if (method == HashMethod::quick) return "hashtextextended((" + text + ") COLLATE \"C\", 0)";
  return "('x' || substr(md5(convert_to(" + text + ", 'UTF8')), 1, 16))::bit(64)::bigint";
}

// A record's text tells NULL from an empty string, and where one field ends and the next begins.
std::string row_hash(const ComparePlan& plan) {
  std::string list;
  for (const auto& name : plan.columns) list += (list.empty() ? "" : ", ") + column(name);
  return hash_of(plan.hash, "ROW(" + list + ")::text");
}

std::string from(const ComparePlan& plan, const CompareSource& source) {
  // The rows of inheritance children belong to the children, which are tables of a publication themselves.
  return (source.is_partitioned ? "" : "ONLY ") + plan.table.quoted() + " AS t";
}

std::string key_list(const ComparePlan& plan) {
  std::string out;
  for (const auto& one : plan.key) out += (out.empty() ? "" : ", ") + column(one.name);
  return out;
}

std::string key_texts(const ComparePlan& plan) {
  std::string out;
  for (const auto& one : plan.key) out += (out.empty() ? "" : ", ") + column(one.name) + "::text";
  return out;
}

std::string key_literals(const ComparePlan& plan, const RowKey& key) {
  std::string out;
  for (std::size_t i = 0; i < plan.key.size(); ++i) {
    out += (out.empty() ? "" : ", ") + literal(i < key.size() ? key[i] : "", plan.key[i].type);
  }
  return out;
}

std::string where(const std::vector<std::string>& conditions) {
  std::string out;
  for (const auto& one : conditions) {
    if (!one.empty()) out += (out.empty() ? " WHERE " : " AND ") + one;
  }
  return out;
}

std::string filter_of(const CompareSource& source) {
  return source.filter.empty() ? "" : '(' + source.filter + ')';
}

// Modulo 2^64: a sum of numerics grows without bound.
std::string totals(const std::string& pieces) {
  return "SELECT count(*), (coalesce(sum(h), 0) % 18446744073709551616)::text FROM (SELECT " + pieces + ") AS piece";
}

std::vector<std::string> conditions_of(const ComparePlan& plan, const KeyRange& range) {
  std::vector<std::string> out;
  if (range.after) out.push_back('(' + key_list(plan) + ") > (" + key_literals(plan, *range.after) + ')');
  if (range.upto) out.push_back('(' + key_list(plan) + ") <= (" + key_literals(plan, *range.upto) + ')');
  return out;
}

std::string seen_row(const ComparePlan& plan) {
  return "SELECT t.xmin::text, " + row_hash(plan) + ", " + key_texts(plan);
}

// The rows with one of these keys; the wanted ones stand as a table of their own, so that an index is used.
std::string of_keys(const ComparePlan& plan, const CompareSource& source, const std::vector<RowKey>& keys) {
  std::string rows, names, join;
  for (const auto& key : keys) rows += (rows.empty() ? "(" : ", (") + key_literals(plan, key) + ')';
  for (std::size_t i = 0; i < plan.key.size(); ++i) {
    const std::string wanted = "turnout_key_" + std::to_string(i + 1);
    names += (names.empty() ? "" : ", ") + wanted;
    join += (join.empty() ? "" : " AND ") + column(plan.key[i].name) + " = turnout_wanted." + wanted;
  }
  return " FROM (VALUES " + rows + ") AS turnout_wanted (" + names + ") JOIN " + from(plan, source) + " ON " + join +
         where({filter_of(source)});
}

// Which columns are compared, and what is to be said about the others.
void choose_columns(ComparePlan& plan, const TableFacts& writer, const TableFacts& follower,
                    const std::vector<std::string>& published, router::Side from) {
  const std::string here = router::name(from), there = router::name(router::other(from));
  std::vector<std::string> unpublished, generated, extra;
  for (const auto& one : writer.columns) {
    const auto* other = find_column(follower, one.name);
    if (!published.empty() && !contains(published, one.name) && !one.generated) {
      unpublished.push_back(one.name);
    } else if (one.generated || (other != nullptr && other->generated)) {
      generated.push_back(one.name);
    } else if (other == nullptr) {
      plan.differences.push_back("column " + one.name + " is only on " + here);
    } else {
      plan.columns.push_back(one.name);
      if (one.shown_type != other->shown_type) {
        plan.notes.push_back("column " + one.name + " is " + one.shown_type + " on " + here + " and " +
                             other->shown_type + " on " + there + ": compared as text");
      }
    }
  }
  for (const auto& one : follower.columns) {
    if (find_column(writer, one.name) == nullptr) extra.push_back(one.name);
  }
  std::sort(plan.columns.begin(), plan.columns.end());
  if (!unpublished.empty()) plan.notes.push_back("not published, not compared: " + listed(unpublished));
  if (!generated.empty()) {
    plan.notes.push_back("not compared, each side generates its own: " + listed(generated));
  }
  if (!extra.empty()) plan.notes.push_back("only on " + there + ", not compared: " + listed(extra));
}

}  // namespace

const char* name(CompareMode mode) {
  switch (mode) {
    case CompareMode::ranges:
      return "ranges";
    case CompareMode::keys:
      return "keys";
    case CompareMode::whole:
      return "whole";
  }
  return "whole";
}

ComparePlan make_plan(const TableName& table, const TableFacts& writer, const TableFacts& follower,
                      const std::vector<std::string>& published, const std::string& filter, HashMethod hash,
                      router::Side from) {
  ComparePlan plan;
  plan.table = table;
  plan.hash = hash;
  plan.writer = {writer.is_partitioned, filter};
  plan.follower = {follower.is_partitioned, ""};
  const std::string there = router::name(router::other(from));
  if (!writer.exists && !follower.exists) {
    plan.notes.push_back("dropped on both sides meanwhile");
    return plan;
  }
  if (!writer.exists || !follower.exists) {
    plan.differences.push_back(std::string("the table is only on ") + (writer.exists ? router::name(from) : there));
    return plan;
  }
  plan.is_readable = true;
  choose_columns(plan, writer, follower, published, from);

  std::vector<const ColumnFact*> key;
  for (const auto& one : writer.columns) {
    if (one.key_position > 0) key.push_back(&one);
  }
  std::sort(key.begin(), key.end(), [](const auto* a, const auto* b) { return a->key_position < b->key_position; });
  bool ordered_alike = true;
  for (const auto* one : key) {
    const auto* other = find_column(follower, one->name);
    if (other == nullptr || !contains(plan.columns, one->name)) {
      plan.notes.push_back("its key has column " + one->name + ", which is not copied: compared as if it had no key");
      key.clear();
      break;
    }
    ordered_alike = ordered_alike && one->ordered_alike && other->ordered_alike && one->type == other->type;
    plan.follower_key_may_be_null = plan.follower_key_may_be_null || !other->not_null;
  }
  if (key.empty()) {
    plan.notes.push_back("no key: compared as a whole, rows cannot be named");
    plan.follower_key_may_be_null = false;
    return plan;
  }
  for (const auto* one : key) plan.key.push_back({one->name, one->type});
  plan.mode = ordered_alike ? CompareMode::ranges : CompareMode::keys;
  if (const auto* first = find_column(follower, plan.key.front().name); !first->leads_an_index) {
    plan.notes.push_back("no index on " + there + " begins with " + first->name +
                         ": every piece reads the whole table there");
  }
  return plan;
}

std::string compare_session(std::uint32_t statement_ms_max) {
  // What texts look like; then: no rows hidden by policies (an error instead), and one core at most.
  return "SET search_path = pg_catalog; SET extra_float_digits = 3; SET DateStyle = 'ISO, YMD'; "
         "SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET bytea_output = 'hex'; SET lc_monetary = 'C'; "
         "SET xmlbinary = 'base64'; SET quote_all_identifiers = off; SET row_security = off; SET jit = off; "
         "SET max_parallel_workers_per_gather = 0; SET default_transaction_isolation = 'read committed'; "
         "SET statement_timeout = " +
         std::to_string(statement_ms_max);
}

std::string bound_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range, std::uint64_t rows) {
  return "SELECT " + key_texts(plan) + " FROM " + from(plan, source) + where(conditions_of(plan, range)) +
         " ORDER BY " + key_list(plan) + " OFFSET " + std::to_string(rows == 0 ? 0 : rows - 1) + " LIMIT 1";
}

std::string sum_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range, std::uint64_t limit) {
  auto conditions = conditions_of(plan, range);
  conditions.push_back(filter_of(source));
  return totals(row_hash(plan) + " AS h FROM " + from(plan, source) + where(conditions) + " LIMIT " +
                std::to_string(limit));
}

std::string rows_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range, std::uint64_t limit) {
  auto conditions = conditions_of(plan, range);
  conditions.push_back(filter_of(source));
  return seen_row(plan) + " FROM " + from(plan, source) + where(conditions) + " LIMIT " + std::to_string(limit);
}

std::string page_sql(const ComparePlan& plan, const CompareSource& source, const std::optional<RowKey>& after,
                     std::uint64_t rows) {
  auto conditions = conditions_of(plan, {after, std::nullopt});
  conditions.push_back(filter_of(source));
  return seen_row(plan) + " FROM " + from(plan, source) + where(conditions) + " ORDER BY " + key_list(plan) +
         " LIMIT " + std::to_string(rows);
}

std::string lookup_sql(const ComparePlan& plan, const CompareSource& source, const std::vector<RowKey>& keys) {
  return seen_row(plan) + of_keys(plan, source, keys);
}

std::string columns_sql(const ComparePlan& plan, const CompareSource& source, const std::vector<RowKey>& keys) {
  std::string list;
  for (const auto& name : plan.columns) {
    list += (list.empty() ? "" : ", ") + std::string("coalesce((") + hash_of(plan.hash, column(name) + "::text") +
            ")::text, '')";
  }
  return "SELECT " + key_texts(plan) + ", array_to_string(ARRAY[" + list + "], ',')" + of_keys(plan, source, keys);
}

std::string blocks_sql(const ComparePlan& plan, const CompareSource& source, std::int64_t first, std::int64_t end) {
  const auto block = [](std::int64_t number) { return "'(" + std::to_string(number) + ",0)'::tid"; };
  return totals(row_hash(plan) + " AS h FROM " + from(plan, source) +
                where({"t.ctid >= " + block(first), "t.ctid < " + block(end), filter_of(source)}));
}

std::string null_keys_sql(const ComparePlan& plan, const CompareSource& source) {
  std::string any;
  for (const auto& one : plan.key) any += (any.empty() ? "" : " OR ") + column(one.name) + " IS NULL";
  return "SELECT count(*) FROM " + from(plan, source) + where({'(' + any + ')', filter_of(source)});
}

}  // namespace turnout::control
