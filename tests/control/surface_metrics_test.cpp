// The text of /metrics, read back line by line.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "control/metrics.h"
#include "surface_fake.h"

namespace turnout::control {
namespace {

struct Scrape {
  std::map<std::string, double> samples;
  std::map<std::string, std::string> types;
};

// "name" or name{label="value",…}; says what is wrong with it, "" = nothing.
std::string wrong_key(const std::string& key) {
  const auto brace = key.find('{');
  const std::string name = key.substr(0, brace);
  if (name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") != std::string::npos) return "a name of other letters";
  if (brace == std::string::npos) return "";
  if (key.back() != '}') return "labels that do not end";
  std::istringstream labels(key.substr(brace + 1, key.size() - brace - 2));
  for (std::string label; std::getline(labels, label, ',');) {
    const auto equals = label.find("=\"");
    if (equals == std::string::npos || equals == 0 || label.back() != '"') return "a label without a quoted value";
  }
  return "";
}

// Fails the test for any line that is neither a comment nor a sample.
Scrape parse(const std::string& text) {
  Scrape scrape;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#")) {
      std::istringstream words(line);
      std::string hash, kind, name, rest;
      words >> hash >> kind >> name >> rest;
      if (kind == "TYPE") scrape.types[name] = rest;
      continue;
    }
    const auto space = line.rfind(' ');
    const std::string key = line.substr(0, space);
    EXPECT_EQ(wrong_key(key), "") << line;
    std::size_t used = 0;
    const std::string value = line.substr(space + 1);
    EXPECT_TRUE(scrape.samples.emplace(key, std::stod(value, &used)).second) << "twice: " << line;
    EXPECT_EQ(used, value.size()) << line;
  }
  return scrape;
}

FakeBackend& filled(FakeBackend& backend) {
  TrafficNumbers numbers;
  numbers.deployment = "app";
  numbers.counters.transactions[0] = 11;
  numbers.counters.transactions[1] = 22;
  numbers.counters.clients = 10;
  numbers.counters.clients_waiting = 2;
  numbers.counters.clients_held = 3;
  numbers.counters.detours = 4;
  numbers.counters.commit_unknown = 1;
  numbers.counters.wait_us_buckets = {5, 6, 7};
  numbers.counters.wait_s_sum = 1.5;
  numbers.levels.held_sessions = 3;
  auto& blue = numbers.levels.side[0];
  blue.writes_in_flight = 2;
  blue.reads_in_flight = 1;
  blue.write_connections = 8;
  blue.read_connections = 4;
  backend.numbers = {numbers};
  Operations::Gauges gauges;
  gauges.deployment = "app";
  gauges.phase = "drain";
  gauges.writer = "blue";
  gauges.epoch = 7;
  gauges.ramp_ratio = 0.25;
  gauges.shadow_ratio = 0.1;
  gauges.shadow_reads = {{"same", 70}, {"different", 2}};
  gauges.shadow_drops = {{"behind", 5}};
  gauges.lag_seconds = 0.5;
  gauges.pauses_s = {0.004, 0.03, 45};
  backend.levels = {gauges};
  return backend;
}

TEST(Metrics, ValuesStandUnderTheirNames) {
  FakeBackend backend;
  auto scrape = parse(metrics_text(filled(backend)));
  auto& at = scrape.samples;
  EXPECT_EQ(at.at(R"(turnout_transactions_total{deployment="app",side="blue"})"), 11);
  EXPECT_EQ(at.at(R"(turnout_transactions_total{deployment="app",side="green"})"), 22);
  EXPECT_EQ(at.at(R"(turnout_client_connections{deployment="app",state="ready"})"), 5);
  EXPECT_EQ(at.at(R"(turnout_client_connections{deployment="app",state="held"})"), 3);
  EXPECT_EQ(at.at(R"(turnout_server_connections{deployment="app",side="blue",state="in_use"})"), 3);
  EXPECT_EQ(at.at(R"(turnout_server_connections{deployment="app",side="blue",state="idle"})"), 9);
  EXPECT_EQ(at.at(R"(turnout_route_detours_total{deployment="app"})"), 4);
  EXPECT_EQ(at.at(R"(turnout_commit_unknown_total{deployment="app"})"), 1);
  EXPECT_EQ(at.at(R"(turnout_held_sessions{deployment="app"})"), 3);
  EXPECT_EQ(at.at(R"(turnout_ramp_ratio{deployment="app"})"), 0.25);
  EXPECT_EQ(at.at(R"(turnout_shadow_ratio{deployment="app"})"), 0.1);
  EXPECT_EQ(at.at(R"(turnout_shadow_reads{deployment="app",outcome="different"})"), 2);
  EXPECT_EQ(at.at(R"(turnout_shadow_dropped{deployment="app",reason="behind"})"), 5);
  EXPECT_EQ(at.at(R"(turnout_writer{deployment="app",side="blue"})"), 1);
  EXPECT_EQ(at.at(R"(turnout_writer{deployment="app",side="green"})"), 0);
  EXPECT_EQ(at.at(R"(turnout_cutover_phase{deployment="app",phase="drain"})"), 1);
  EXPECT_EQ(at.at(R"(turnout_cutover_phase{deployment="app",phase="idle"})"), 0);
  EXPECT_EQ(at.at(R"(turnout_replication_lag_seconds{deployment="app"})"), 0.5);
  EXPECT_EQ(at.at("turnout_ready"), 1);
}

TEST(Metrics, HistogramsAreCumulativeInSeconds) {
  FakeBackend backend;
  auto scrape = parse(metrics_text(filled(backend)));
  auto& at = scrape.samples;
  EXPECT_EQ(at.at(R"(turnout_client_wait_seconds_bucket{deployment="app",le="0.001"})"), 5);
  EXPECT_EQ(at.at(R"(turnout_client_wait_seconds_bucket{deployment="app",le="0.01"})"), 11);
  EXPECT_EQ(at.at(R"(turnout_client_wait_seconds_bucket{deployment="app",le="+Inf"})"), 18);
  EXPECT_EQ(at.at(R"(turnout_client_wait_seconds_count{deployment="app"})"), 18);
  EXPECT_EQ(at.at(R"(turnout_client_wait_seconds_sum{deployment="app"})"), 1.5);
  EXPECT_EQ(at.at(R"(turnout_query_duration_seconds_count{deployment="app"})"), 0);
  EXPECT_EQ(at.at(R"(turnout_cutover_pause_seconds_bucket{deployment="app",le="0.005"})"), 1);
  EXPECT_EQ(at.at(R"(turnout_cutover_pause_seconds_bucket{deployment="app",le="30"})"), 2);
  EXPECT_EQ(at.at(R"(turnout_cutover_pause_seconds_count{deployment="app"})"), 3);
}

TEST(Metrics, NamesAndTypesFollowTheRules) {
  FakeBackend backend;
  const auto scrape = parse(metrics_text(filled(backend)));
  for (const auto& [name, type] : scrape.types) {
    EXPECT_TRUE(name.starts_with("turnout_")) << name;
    EXPECT_EQ(name.ends_with("_total"), type == "counter") << name << " is a " << type;
    EXPECT_EQ(name.find("_ms"), std::string::npos) << name;
  }
  EXPECT_GE(scrape.types.size(), 25U);
}

TEST(Metrics, GaugesThatDoNotAddUpNeverWrap) {
  FakeBackend backend;
  filled(backend);
  backend.numbers[0].counters.clients = 1;
  backend.numbers[0].levels.side[0] = {9, 9, 1, 1, 0, 0};
  auto scrape = parse(metrics_text(backend));
  EXPECT_EQ(scrape.samples.at(R"(turnout_client_connections{deployment="app",state="ready"})"), 0);
  EXPECT_EQ(scrape.samples.at(R"(turnout_server_connections{deployment="app",side="blue",state="idle"})"), 0);
}

}  // namespace
}  // namespace turnout::control
