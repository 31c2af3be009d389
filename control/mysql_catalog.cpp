#include "control/mysql_catalog.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "control/mysql_topology.h"
#include "router/mysql_classify.h"

namespace turnout::control {

namespace {

constexpr std::size_t views_deep_max = 16;
constexpr const char* schema_of_functions = "stored";  // of all: a bare name may mean any of them

constexpr const char* relations_sql =
    "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, IFNULL(t.ENGINE, ''), IFNULL(v.VIEW_DEFINITION, '') "
    "FROM information_schema.TABLES t LEFT JOIN information_schema.VIEWS v ON v.TABLE_SCHEMA = t.TABLE_SCHEMA AND "
    "v.TABLE_NAME = t.TABLE_NAME "
    "WHERE t.TABLE_SCHEMA NOT IN ";

bool is_carried(const MysqlRelation& relation) {
  const bool is_table = relation.type == "BASE TABLE" || relation.type == "SYSTEM VERSIONED";
  return is_table && (relation.engine == "InnoDB" || relation.engine == "ROCKSDB");
}

router::RelationRow row_of(const MysqlRelation& relation, bool is_proven_view) {
  router::RelationRow row{relation.schema, relation.name, 'r', 'p', is_carried(relation) || is_proven_view};
  if (relation.type == "SEQUENCE") row.kind = 'S';
  if (relation.type.ends_with("VIEW") && !is_proven_view) row.kind = 'v';
  return row;
}

using Proven = std::set<const MysqlRelation*>;

router::CatalogPtr build(const std::vector<MysqlRelation>& relations, const std::vector<std::string>& functions,
                         const Proven& proven, std::uint64_t generation, std::string_view deployment) {
  router::CatalogBuilder builder;
  const auto database = router::mysql_catalog_database;
  builder.add_database(database);
  for (const auto& name : functions) builder.add_function(database, {schema_of_functions, name, 'v'});
  for (const auto& relation : relations) builder.add_relation(database, row_of(relation, proven.contains(&relation)));
  return builder.build(generation, deployment);
}

MysqlOutcome<bool> check_server(MysqlClient& client, bool follows) {
  const auto refusal = [&](const std::string& why) {
    return MysqlError{client.target().text(), 0, "no read can be proven: " + why, false};
  };
  const auto mode = client.query("SELECT @@global.sql_mode");
  if (!mode) return mode.error();
  for (const char* grammar : {"ORACLE", "MSSQL"})
    if (mode->text(0).find(grammar) != std::string::npos)
      return refusal(std::string("sql_mode has ") + grammar + ", in which texts have another grammar");
  const auto server = look_at(client);
  if (!server) return server.error();
  if (!follows && !(server->variable("Binlog_Do_DB") + server->variable("Binlog_Ignore_DB")).empty())
    return refusal("its binary log leaves databases out");
  for (const auto& link : server->links)
    if (follows && !link.filters.empty()) return refusal("its replication leaves things out: " + link.filters.front());
  return true;
}

}  // namespace

router::CatalogPtr build_mysql_catalog(const std::vector<MysqlRelation>& relations,
                                       const std::vector<std::string>& functions, std::uint64_t generation,
                                       std::string_view deployment) {
  Proven proven;
  for (std::size_t round = 0; round < views_deep_max; ++round) {
    auto catalog = build(relations, functions, proven, generation, deployment);
    std::size_t news = 0;
    for (const auto& relation : relations) {
      // Its strings are written for another mode than ours if there is a backslash in them.
      if (relation.sql.empty() || proven.contains(&relation) || relation.sql.find('\\') != std::string::npos) continue;
      const auto found = router::classify_mysql(relation.sql, *catalog, "");
      if (found.verdict == router::Verdict::read) news += proven.insert(&relation).second ? 1U : 0U;
    }
    if (news == 0) return catalog;
  }
  return build(relations, functions, proven, generation, deployment);
}

MysqlOutcome<LoadedCatalog> load_mysql_catalog(MysqlShelf& shelf, router::Side writer, std::uint64_t generation,
                                               const std::string& deployment) {
  if (const auto pair = discover(shelf, writer); !pair) return pair.error();
  auto follower = shelf.take(router::other(writer));
  if (!follower) return follower.error();
  if (const auto able = check_server(**follower, true); !able) return able.error();
  auto client = shelf.take(writer);
  if (!client) return client.error();
  if (const auto able = check_server(**client, false); !able) return able.error();
  const auto relation_rows = (*client)->query(std::string(relations_sql) + mysql_own_schemas);
  if (!relation_rows) return relation_rows.error();
  const auto function_rows = (*client)->query((*client)->dialect().functions_sql);
  if (!function_rows) return function_rows.error();
  std::vector<MysqlRelation> relations;
  std::vector<std::string> functions;
  std::uint64_t content = 0;
  for (std::size_t row = 0; row < relation_rows->size(); ++row) {
    relations.push_back({relation_rows->text(row, 0), relation_rows->text(row, 1), relation_rows->text(row, 2),
                         relation_rows->text(row, 3), relation_rows->text(row, 4)});
    const auto& one = relations.back();
    content += std::hash<std::string>{}(one.schema + '\x01' + one.name + '\x01' + one.type + '\x01' + one.engine +
                                        '\x01' + one.sql);
  }
  for (std::size_t row = 0; row < function_rows->size(); ++row) {
    functions.push_back(function_rows->text(row, 0));
    content += 3 * std::hash<std::string>{}(functions.back());
  }
  return LoadedCatalog{build_mysql_catalog(relations, functions, generation, deployment), content};
}

}  // namespace turnout::control
