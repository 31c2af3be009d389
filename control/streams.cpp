#include "control/streams.h"

#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>

#include "control/decision_store.h"

namespace turnout::control {

namespace {

constexpr std::uint32_t ask_ms_max = 5'000;

// pg_subscription is shared, so any database can answer; subconninfo is not read (superusers only).
constexpr const char* subscriptions_sql =
    "SELECT d.datname, s.subname, s.oid, s.subslotname, s.subenabled, array_to_json(s.subpublications)::text, "
    "s.subowner::regrole::text "
    "FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid ORDER BY 1, 2";

// Only [a-z0-9_] may stand in a slot's name; a name that had to be changed gets a hash, so that two never meet.
std::string slot_name(const std::string& prefix, const std::string& database) {
  std::string clean = prefix;
  bool changed = false;
  for (const char c : database) {
    const bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    clean += fine ? c : '_';
    changed = changed || !fine;
  }
  if (!changed && clean.size() <= 63) return clean;
  std::uint32_t hash = 2166136261U;  // FNV-1a
  for (const char c : database) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return fmt::format("{}_{:08x}", clean.substr(0, 54), hash);
}

}  // namespace

std::string TableName::quoted() const {
  return quote_identifier(schema) + '.' + quote_identifier(name);
}

std::vector<std::string> Topology::databases() const {
  std::vector<std::string> names;
  for (const auto& stream : streams) {
    if (std::find(names.begin(), names.end(), stream.database) == names.end()) names.push_back(stream.database);
  }
  return names;
}

std::vector<Stream> Topology::merged() const {
  std::vector<Stream> whole;
  for (const auto& stream : streams) {
    const auto known =
        std::find_if(whole.begin(), whole.end(), [&](const auto& s) { return s.database == stream.database; });
    if (known == whole.end()) {
      whole.push_back(stream);
    } else {
      known->publications.insert(known->publications.end(), stream.publications.begin(), stream.publications.end());
    }
  }
  return whole;
}

bool Topology::has_several(const std::string& database) const {
  return std::count_if(streams.begin(), streams.end(), [&](const auto& s) { return s.database == database; }) > 1;
}

const Stream* Topology::find(const std::string& database) const {
  const auto found =
      std::find_if(streams.begin(), streams.end(), [&](const auto& s) { return s.database == database; });
  return found == streams.end() ? nullptr : &*found;
}

std::string full_publication(router::Side side) {
  return side == router::Side::blue ? "turnout_all" : own_publication(side);
}
std::string own_publication(router::Side from) {
  return from == router::Side::blue ? "turnout_fwd" : "turnout_rev";
}
std::string own_subscription(router::Side from) {
  return own_publication(from);
}
std::string own_slot(router::Side from, const std::string& database) {
  return slot_name(own_publication(from) + '_', database);
}
std::string guard_slot(const std::string& database) {
  return slot_name("turnout_guard_", database);
}
std::string anchor_slot(router::Side side, const std::string& consumer) {
  return side == router::Side::blue ? consumer : slot_name("turnout_cdc_", consumer);
}

PgOutcome<Topology> discover(Shelf& shelf, router::Side from, const std::vector<std::string>& databases) {
  Topology topology;
  topology.from = from;
  const auto to = topology.to();
  const std::string any = databases.empty() ? "postgres" : databases.front();
  auto loan = shelf.take(to, any, ask_ms_max);
  if (!loan) return loan.error();
  const auto rows = (*loan)->query(subscriptions_sql, ask_ms_max);
  if (!rows) return rows.error();
  const auto refuse = [&](std::string text) {
    return PgError{to, (*loan)->target().text(), "", std::move(text), false, 0};
  };
  for (int row = 0; row < rows->size(); ++row) {
    const auto database = rows->text(row, 0);
    if (!databases.empty() && std::find(databases.begin(), databases.end(), database) == databases.end()) continue;
    topology.streams.push_back({database, rows->text(row, 1), rows->text(row, 6), rows->integer(row, 2),
                                rows->text(row, 3), rows->boolean(row, 4), texts_of_json(rows->text(row, 5))});
  }
  for (const auto& database : databases) {
    if (topology.find(database) == nullptr) {
      return refuse("database " + database + " has no subscription on " + router::name(to) +
                    ": create one that follows " + router::name(from));
    }
  }
  if (topology.streams.empty()) {
    return refuse(std::string("no subscription on ") + router::name(to) + ": nothing carries writes from " +
                  router::name(from) + "; create a publication there and a subscription here");
  }
  return topology;
}

PgOutcome<std::vector<TableName>> carried_tables(PgClient& to, const Stream& stream) {
  const auto rows = to.query(
      "SELECT n.nspname, c.relname FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid "
      "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE r.srsubid = $1::oid AND n.nspname <> 'turnout' ORDER BY 1, "
      "2",
      {std::to_string(stream.subscription_oid)}, ask_ms_max);
  if (!rows) return rows.error();
  std::vector<TableName> tables;
  for (int row = 0; row < rows->size(); ++row) tables.push_back({rows->text(row, 0), rows->text(row, 1)});
  return tables;
}

std::string json_list(const std::vector<std::string>& items) {
  boost::json::array list;
  for (const auto& item : items) list.emplace_back(item);
  return boost::json::serialize(list);
}

std::vector<std::string> texts_of_json(const std::string& json_array) {
  std::vector<std::string> out;
  boost::system::error_code error;
  const auto value = boost::json::parse(json_array, error);
  if (error || !value.is_array()) return out;
  for (const auto& one : value.get_array()) {
    if (one.is_string()) out.emplace_back(one.get_string());
  }
  return out;
}

boost::json::object to_json(const Topology& topology) {
  boost::json::array streams;
  for (const auto& stream : topology.streams) {
    boost::json::array publications;
    for (const auto& publication : stream.publications) publications.emplace_back(publication);
    streams.push_back(boost::json::object{{"database", stream.database},
                                          {"subscription", stream.subscription},
                                          {"oid", stream.subscription_oid},
                                          {"owner", stream.owner},
                                          {"slot", stream.slot},
                                          {"publications", publications}});
  }
  return {{"from", router::name(topology.from)}, {"streams", streams}};
}

Topology topology_of(const boost::json::object& facts) {
  Topology topology;
  topology.from = text_of(facts, "from") == "green" ? router::Side::green : router::Side::blue;
  const auto* streams = facts.if_contains("streams");
  if (streams == nullptr || !streams->is_array()) return topology;
  for (const auto& value : streams->get_array()) {
    if (!value.is_object()) continue;
    const auto& one = value.get_object();
    Stream stream;
    stream.database = text_of(one, "database");
    stream.subscription = text_of(one, "subscription");
    stream.owner = text_of(one, "owner");
    stream.slot = text_of(one, "slot");
    stream.enabled = true;
    if (const auto* oid = one.if_contains("oid")) stream.subscription_oid = oid->to_number<std::int64_t>();
    if (const auto* publications = one.if_contains("publications");
        publications != nullptr && publications->is_array()) {
      for (const auto& name : publications->get_array()) {
        if (name.is_string()) stream.publications.emplace_back(name.get_string());
      }
    }
    topology.streams.push_back(std::move(stream));
  }
  return topology;
}

}  // namespace turnout::control
