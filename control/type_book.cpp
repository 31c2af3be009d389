#include "control/type_book.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_to.hpp>
#include <fstream>

#include "control/durable_file.h"
#include "control/type_loader.h"

namespace turnout::control {

namespace json = boost::json;
namespace pg = protocol::pg;

namespace {

constexpr std::int64_t format_version = 1;

json::object to_json(const pg::ObjectOids& oids) {
  json::array types, objects;
  for (const auto& type : oids.types)
    types.push_back(json::array{type.name, type.oid, static_cast<std::uint32_t>(type.kind), type.inner});
  for (const auto& object : oids.objects) objects.push_back(json::array{object.name, object.oid});
  return {{"types", std::move(types)}, {"objects", std::move(objects)}};
}

pg::Oid oid_of(const json::value& value) {
  return value.to_number<pg::Oid>();
}

// Throws what Boost throws for a text that is none of ours.
pg::ObjectOids oids_of(const json::object& text) {
  pg::ObjectOids oids;
  for (const json::value& value : text.at("types").as_array()) {
    const json::array& row = value.as_array();
    const auto kind = row.at(2).to_number<std::uint8_t>();
    if (kind > static_cast<std::uint8_t>(pg::TypeKind::domain)) throw std::out_of_range("kind of a type");
    oids.types.push_back({json::value_to<std::string>(row.at(0)), oid_of(row.at(1)), static_cast<pg::TypeKind>(kind),
                          oid_of(row.at(3))});
  }
  for (const json::value& value : text.at("objects").as_array())
    oids.objects.push_back({json::value_to<std::string>(value.as_array().at(0)), oid_of(value.as_array().at(1))});
  return oids;
}

}  // namespace

proxy::TypeMapsPtr make_type_maps(const PairOids& oids) {
  auto maps = std::make_shared<proxy::TypeMaps>();
  for (const auto& [database, sides] : oids)
    if (auto map = pg::make_type_map(sides[0], sides[1])) maps->databases.emplace(database, std::move(map));
  return maps;
}

std::string to_text(const std::string& pair, const PairOids& oids) {
  json::object databases;
  for (const auto& [database, sides] : oids)
    databases[database] = json::object{{"blue", to_json(sides[0])}, {"green", to_json(sides[1])}};
  return json::serialize(
      json::object{{"version", format_version}, {"pair", pair}, {"databases", std::move(databases)}});
}

std::optional<PairOids> pair_oids_of(const std::string& text, const std::string& pair) {
  try {
    const json::value parsed = json::parse(text);
    const json::object& whole = parsed.as_object();
    if (whole.at("version").to_number<std::int64_t>() != format_version || whole.at("pair").as_string() != pair)
      return std::nullopt;
    PairOids oids;
    for (const auto& [database, sides] : whole.at("databases").as_object())
      oids[database] = {oids_of(sides.as_object().at("blue").as_object()),
                        oids_of(sides.as_object().at("green").as_object())};
    return oids;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::string TypeBook::pair_name() const {
  return shelf_.target(router::Side::blue, "").text() + ' ' + shelf_.target(router::Side::green, "").text();
}

std::string TypeBook::refresh(const std::vector<std::string>& databases) {
  const std::lock_guard one(mutex_);
  mark_.clear();
  return read(databases);
}

std::string TypeBook::refresh_if_changed(const std::vector<std::string>& databases) {
  const std::lock_guard one(mutex_);
  auto now = mark(databases);  // before the reading: what changes meanwhile is seen next time
  if (!now) return now.error().message();
  if (*now == mark_) return "";
  if (auto error = read(databases); !error.empty()) return error;
  mark_ = std::move(*now);
  return "";
}

PgOutcome<std::string> TypeBook::mark(const std::vector<std::string>& databases) {
  std::string marks;
  for (const auto& database : databases) {
    for (const auto side : {router::Side::blue, router::Side::green}) {
      const auto one = load_types_mark(shelf_, side, database);
      if (!one) return one.error();
      marks += database + ' ' + *one + '\n';
    }
  }
  return marks;
}

std::string TypeBook::read(const std::vector<std::string>& databases) {
  PairOids fresh = oids_;
  for (const auto& database : databases) {
    for (const auto side : {router::Side::blue, router::Side::green}) {
      auto read = load_object_oids(shelf_, side, database);
      if (!read) return read.error().message();
      fresh[database][router::index(side)] = std::move(*read);
    }
  }
  oids_ = std::move(fresh);
  give();
  return "";
}

void TypeBook::give() {
  auto maps = make_type_maps(oids_);
  const bool is_same =
      std::equal(maps_->databases.begin(), maps_->databases.end(), maps->databases.begin(), maps->databases.end(),
                 [](const auto& a, const auto& b) { return a.first == b.first && *a.second == *b.second; });
  if (is_same) return;
  maps_ = std::move(maps);
  publish_(maps_);
  write();
}

void TypeBook::write() const {
  std::error_code error;
  std::filesystem::create_directories(file_.parent_path(), error);
  const std::string fresh = file_.string() + ".new";
  {
    std::ofstream out(fresh, std::ios::trunc);
    out << to_text(pair_name(), oids_);
    out.flush();
    if (!out) error = std::make_error_code(std::errc::io_error);
  }
  if (!error) std::filesystem::rename(fresh, file_, error);
  if (error) spdlog::warn("cannot write {}: {}", file_.string(), error.message());
}

void TypeBook::restore() {
  const std::lock_guard one(mutex_);
  auto oids = pair_oids_of(content_of(file_), pair_name());
  if (!oids) return;
  oids_ = std::move(*oids);
  give();
}

}  // namespace turnout::control
