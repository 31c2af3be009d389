#include "control/mysql_compare_sql.h"

#include <algorithm>

#include "control/mysql_client.h"

namespace turnout::control {

namespace {

constexpr std::string_view long_word = "long ";

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> list) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool is_long(std::string_view type) {
  return type.starts_with(long_word);
}

// number, real, text, bytes or plain.
std::string_view form_of(std::string_view type) {
  if (is_long(type)) type.remove_prefix(long_word.size());
  return type.substr(0, type.find(' '));
}

std::string identifier(std::string_view name) {
  std::string out = "`";
  for (const char c : name) {
    out += c;
    if (c == '`') out += c;
  }
  return out + '`';
}

std::string column(const std::string& name) {
  return "t." + identifier(name);
}

const ColumnFact* find_column(const TableFacts& facts, const std::string& name) {
  const auto found =
      std::find_if(facts.columns.begin(), facts.columns.end(), [&](const auto& one) { return one.name == name; });
  return found == facts.columns.end() ? nullptr : &*found;
}

// A value as text. Adding zero takes away what only a display width has put there. Of a double MySQL makes 22
// characters at most (9.7), too few for a sign, 17 digits and an exponent: only as JSON is it whole, where 5 is 5.0.
std::string text_of(const std::string& name, std::string_view type) {
  const auto form = form_of(type);
  if (form == "number") return "CAST(" + column(name) + " + 0 AS CHAR)";
  if (form == "real") return "TRIM(TRAILING '.0' FROM JSON_EXTRACT(JSON_ARRAY(" + column(name) + " + 0e0), '$[0]'))";
  if (form == "text") return "CONVERT(" + column(name) + " USING utf8mb4)";
  if (form == "bytes") return column(name);
  return "CAST(" + column(name) + " AS CHAR)";
}

// Hexadecimal digits, or '-' for NULL; so a comma separates.
std::string hashed_part(const std::string& name, std::string_view type) {
  const auto text = text_of(name, type);
  if (is_long(type)) return "IF(" + column(name) + " IS NULL, '-', SHA2(" + text + ", 256))";
  return "IFNULL(HEX(" + text + "), '-')";
}

std::string row_hash(const ComparePlan& plan, const CompareSource& source) {
  std::string list = "'row'";
  for (std::size_t i = 0; i < plan.columns.size(); ++i)
    list += ", ',', " + hashed_part(plan.columns[i], source.column_types[i]);
  return "CAST(CONV(LEFT(SHA2(CONCAT(" + list + "), 256), 16), 16, 10) AS UNSIGNED)";
}

bool has_only(std::string_view text, std::string_view letters) {
  return !text.empty() && text.find_first_not_of(letters) == std::string_view::npos;
}

std::string literal(const std::string& text, std::string_view type) {
  const auto form = form_of(type);
  if (form == "number" && has_only(text, "-0123456789.")) return text;
  if (form == "real" && has_only(text, "-+0123456789.e"))
    return text + (text.find('e') == std::string::npos ? "e0" : "");
  if (form == "bytes" && text.starts_with("0x") && (text.size() == 2 || has_only(text.substr(2), "0123456789ABCDEF")))
    return "X'" + text.substr(2) + '\'';
  return mysql_literal(text);
}

std::string from(const ComparePlan& plan, const CompareSource& source) {
  return " FROM " + quoted_name(plan.table) + " AS t" +
         (source.index.empty() ? "" : " FORCE INDEX (" + identifier(source.index) + ')');
}

std::string key_list(const ComparePlan& plan) {
  std::string out;
  for (const auto& one : plan.key) out += (out.empty() ? "" : ", ") + column(one.name);
  return out;
}

std::string key_texts(const ComparePlan& plan, const CompareSource& source) {
  std::string out;
  for (std::size_t i = 0; i < plan.key.size(); ++i) {
    const auto text = text_of(plan.key[i].name, source.key_types[i]);
    out += (out.empty() ? "" : ", ");
    out += form_of(source.key_types[i]) == "bytes" ? "CONCAT('0x', HEX(" + text + "))" : text;
  }
  return out;
}

std::string literal_of(const CompareSource& source, const RowKey& key, std::size_t at) {
  return literal(at < key.size() ? key[at] : "", source.key_types[at]);
}

// Written out: no server uses an index for (a, b) > (1, 2). `last`: how the last column stands to its value.
std::string beyond(const ComparePlan& plan, const CompareSource& source, const RowKey& key, const std::string& than,
                   const std::string& last) {
  std::string out;
  for (std::size_t left = plan.key.size(); left > 0; --left) {
    const auto at = left - 1;
    const auto name = column(plan.key[at].name), value = literal_of(source, key, at);
    if (out.empty()) {
      out = name + ' ' + last + ' ' + value;
      continue;
    }
    out = '(' + name + ' ' + than + ' ' + value + " OR " + name + " = " + value + " AND " + out + ')';
  }
  // What bounds the index range, said once more by itself.
  if (plan.key.size() > 1)
    out = column(plan.key[0].name) + ' ' + than + "= " + literal_of(source, key, 0) + " AND " + out;
  return out;
}

std::string where(const ComparePlan& plan, const CompareSource& source, const KeyRange& range) {
  std::string out;
  if (range.after) out += " WHERE " + beyond(plan, source, *range.after, ">", ">");
  if (range.upto) out += (out.empty() ? " WHERE " : " AND ") + beyond(plan, source, *range.upto, "<", "<=");
  return out;
}

// To the byte: a collation may take two texts for one.
std::string of_keys(const ComparePlan& plan, const CompareSource& source, const std::vector<RowKey>& keys) {
  std::string out;
  for (const auto& key : keys) {
    std::string one;
    for (std::size_t i = 0; i < plan.key.size(); ++i) {
      const auto value = literal_of(source, key, i);
      one += (one.empty() ? "" : " AND ") + column(plan.key[i].name) + " = " + value;
      if (form_of(source.key_types[i]) != "text") continue;
      one +=
          " AND CAST(" + text_of(plan.key[i].name, source.key_types[i]) + " AS BINARY) = CAST(" + value + " AS BINARY)";
    }
    out += (out.empty() ? " WHERE " : " OR ") + one;
  }
  return from(plan, source) + out;
}

std::string seen_row(const ComparePlan& plan, const CompareSource& source) {
  return "SELECT '', CAST(" + row_hash(plan, source) + " AS CHAR), " + key_texts(plan, source);
}

// Modulo 2^64. A row without a hash takes the whole answer with it.
std::string totals(const std::string& pieces) {
  return "SELECT COUNT(*), CAST(IF(COUNT(h) < COUNT(*), NULL, IFNULL(SUM(h), 0) % 18446744073709551616) AS CHAR) FROM "
         "(SELECT " +
         pieces + ") AS piece";
}

void take_types(CompareSource& side, const TableFacts& facts, const TableFacts& other, const ComparePlan& plan) {
  side.index = facts.key_index;
  for (const auto& one : plan.key) side.key_types.push_back(find_column(facts, one.name)->type);
  for (const auto& name : plan.columns) {
    auto type = find_column(facts, name)->type;
    if (!is_long(type) && is_long(find_column(other, name)->type)) type = std::string(long_word) + type;
    side.column_types.push_back(std::move(type));
  }
}

std::vector<std::string> key_columns(const TableFacts& facts) {
  std::vector<std::string> out(facts.columns.size());
  for (const auto& one : facts.columns) {
    if (one.key_position > 0) out[static_cast<std::size_t>(one.key_position) - 1] = one.name;
  }
  std::erase(out, "");
  return out;
}

}  // namespace

std::string mysql_compare_type(std::string_view data_type, std::string_view column_type, std::string_view collation) {
  std::string kind(data_type);
  std::transform(kind.begin(), kind.end(), kind.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  const std::string behind = ' ' + std::string(collation);
  if (is_one_of(kind, {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "bit"})) return "number";
  if (is_one_of(kind, {"float", "double"})) return "real";
  if (is_one_of(kind, {"enum", "set"})) return "number " + std::string(column_type);
  if (is_one_of(kind, {"char", "varchar"})) return "text" + behind;
  if (is_one_of(kind, {"binary", "varbinary"})) return "bytes";
  if (is_one_of(kind, {"tinytext", "text", "mediumtext", "longtext", "json"})) return "long text" + behind;
  if (is_one_of(kind, {"date", "time", "datetime", "timestamp", "uuid", "inet4", "inet6"})) return "plain " + kind;
  return "long bytes";  // blobs, geometries, vectors, and what is new
}

ComparePlan make_mysql_plan(const TableName& table, const TableFacts& writer, const TableFacts& follower,
                            router::Side from) {
  auto plan = make_plan(table, writer, follower, {}, "", HashMethod::portable, from);
  if (!plan.is_readable) return plan;
  const bool by_other_numbers = std::any_of(plan.key.begin(), plan.key.end(), [&](const auto& one) {
    const auto &here = find_column(writer, one.name)->type, &there = find_column(follower, one.name)->type;
    return (here.starts_with("number ") || there.starts_with("number ")) && here != there;
  });
  if (by_other_numbers) {
    plan.key.clear();
    plan.mode = CompareMode::whole;
    plan.follower_key_may_be_null = false;
    plan.notes.push_back("its key has an enum or set of another definition: compared as a whole, rows cannot be named");
  }
  take_types(plan.writer, writer, follower, plan);
  take_types(plan.follower, follower, writer, plan);
  if (plan.key.empty()) plan.writer.index.clear();
  if (plan.key.empty() || key_columns(writer) != key_columns(follower)) plan.follower.index.clear();
  return plan;
}

std::string mysql_compare_session(MysqlProduct product, std::uint32_t statement_ms_max) {
  // sql_mode is the client's (mysql_client.cpp), and has nothing that changes what is read.
  std::string seconds = std::to_string(statement_ms_max / 1000) + '.';
  const auto thousandths = std::to_string(statement_ms_max % 1000 + 1000);
  seconds += thousandths.substr(1);
  return "SET NAMES utf8mb4 COLLATE utf8mb4_bin, SESSION time_zone = '+00:00', SESSION " +
         (product == MysqlProduct::mariadb ? "max_statement_time = " + seconds
                                           : "max_execution_time = " + std::to_string(statement_ms_max));
}

std::string quoted_name(const TableName& table) {
  return identifier(table.schema) + '.' + identifier(table.name);
}

namespace mysql {

std::string bound_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range, std::uint64_t rows) {
  return "SELECT " + key_texts(plan, source) + from(plan, source) + where(plan, source, range) + " ORDER BY " +
         key_list(plan) + " LIMIT 1 OFFSET " + std::to_string(rows == 0 ? 0 : rows - 1);
}

std::string sum_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range, std::uint64_t limit) {
  return totals(row_hash(plan, source) + " AS h" + from(plan, source) + where(plan, source, range) + " LIMIT " +
                std::to_string(limit));
}

std::string rows_sql(const ComparePlan& plan, const CompareSource& source, const KeyRange& range, std::uint64_t limit) {
  return seen_row(plan, source) + from(plan, source) + where(plan, source, range) + " LIMIT " + std::to_string(limit);
}

std::string page_sql(const ComparePlan& plan, const CompareSource& source, const std::optional<RowKey>& after,
                     std::uint64_t rows) {
  return seen_row(plan, source) + from(plan, source) + where(plan, source, {after, std::nullopt}) + " ORDER BY " +
         key_list(plan) + " LIMIT " + std::to_string(rows);
}

std::string lookup_sql(const ComparePlan& plan, const CompareSource& source, const std::vector<RowKey>& keys) {
  return seen_row(plan, source) + of_keys(plan, source, keys);
}

std::string columns_sql(const ComparePlan& plan, const CompareSource& source, const std::vector<RowKey>& keys) {
  std::string list;
  for (std::size_t i = 0; i < plan.columns.size(); ++i) {
    list += (list.empty() ? "" : ", ',', ") + std::string("LEFT(SHA2(") +
            hashed_part(plan.columns[i], source.column_types[i]) + ", 256), 16)";
  }
  return "SELECT " + key_texts(plan, source) + ", CONCAT(" + list + ')' + of_keys(plan, source, keys);
}

std::string blocks_sql(const ComparePlan& plan, const CompareSource& source, std::int64_t, std::int64_t) {
  return totals(row_hash(plan, source) + " AS h" + from(plan, source));
}

std::string null_keys_sql(const ComparePlan& plan, const CompareSource& source) {
  std::string any;
  for (const auto& one : plan.key) any += (any.empty() ? "" : " OR ") + column(one.name) + " IS NULL";
  return "SELECT COUNT(*)" + from(plan, source) + " WHERE " + any;
}

}  // namespace mysql
}  // namespace turnout::control
