// What people see, letter by letter.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <sstream>

#include "control/progress.h"
#include "control/render.h"

namespace turnout::control {
namespace {

using boost::json::parse;

std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, columns_of(line));
  return widest;
}

TEST(Render, Status) {
  const auto body = parse(R"({"deployments":{"app":{"writer":"blue","ramp_percent":50,"ramp_actual_percent":48.7,
    "phase":"idle","epoch":3,"blue":"127.0.0.1:5431","green":{"state":"streaming","lag_bytes":0}}}})");
  EXPECT_EQ(render_status(body),
            "DEPLOYMENT  WRITER  PHASE  EPOCH  RAMP  ACTUAL  BLUE            GREEN\n"
            "app         blue    idle       3  50 %  48.7 %  127.0.0.1:5431  streaming\n");
}

TEST(Render, StatusSaysWhyItHolds) {
  const auto body = parse(R"({"deployments":{"app":{"phase":"unknown","why":"green does not answer"}}})");
  EXPECT_EQ(render_status(body),
            "DEPLOYMENT  WRITER  PHASE    EPOCH  RAMP  ACTUAL  BLUE  GREEN\n"
            "app                 unknown\n"
            "app: green does not answer\n");
  EXPECT_EQ(render_status(parse("{}")), "no deployments\n");
}

TEST(Render, Preflight) {
  const auto body = parse(R"({"checks":[
    {"name":"replication.active","verdict":"PASS","measured":"streaming","bound":"","todo":""},
    {"name":"replica_identity","verdict":"FAIL","measured":"2 tables","bound":"0","todo":"ALTER TABLE a REPLICA IDENTITY FULL, or add a primary key; then run preflight again, please."}],
    "plan":["hold writers","fence blue"]})");
  EXPECT_EQ(render_preflight(body),
            "PASS  replication.active: streaming\n"
            "FAIL  replica_identity: 2 tables (bound: 0)\n"
            "      ALTER TABLE a REPLICA IDENTITY FULL, or add a primary key; then run\n"
            "      preflight again, please.\n"
            "1 passed, 0 warned, 1 failed\n"
            "\n"
            "Plan\n"
            " 1. hold writers\n"
            " 2. fence blue\n");
}

TEST(Render, Report) {
  const auto body = parse(R"({"epoch":4,"direction":"cutover","deployment":"app","outcome":"committed","reason":"",
    "pause_ms":{"p50":11.5,"p99":31.25,"max":33},"phases_ms":{"drain":12.25,"fence":8},"held_sessions":40,
    "client_errors":0,"fence_position":"0/16B3748","writer":"green","who":"local/ann"})");
  EXPECT_EQ(render_report(body),
            "cutover 4 of app: committed\n"
            "  writer          green\n"
            "  pause           p50 11.5 ms, p99 31.25 ms, longest 33 ms\n"
            "  held sessions   40\n"
            "  client errors   0\n"
            "  fence position  0/16B3748\n"
            "  phases\n"
            "    drain              12.25 ms\n"
            "    fence                  8 ms\n"
            "  who  local/ann\n");
}

TEST(Render, PoolsShowOnlyColumnsThatHaveSomething) {
  const auto body = parse(R"({"pools":[{"database":"app","user":"app","side":"blue","access":"write","servers_idle":3},
                                       {"database":"app","user":"app","side":"green","access":"read","servers_idle":12}]})");
  EXPECT_EQ(render_pools(body),
            "DATABASE  USER  SIDE   ACCESS  IDLE\n"
            "app       app   blue   write      3\n"
            "app       app   green  read      12\n");
  EXPECT_EQ(render_pools(parse("[]")), "no pools\n");
}

TEST(Render, TheOnlyDeploymentTakesNoColumn) {
  EXPECT_EQ(render_pools(parse(R"({"pools":[{"deployment":"a","user":"u"},{"deployment":"a","user":"v"}]})")),
            "USER\nu\nv\n");
  EXPECT_EQ(render_pools(parse(R"({"pools":[{"deployment":"a","user":"u"},{"deployment":"b","user":"v"}]})")),
            "DEPLOYMENT  USER\na           u\nb           v\n");
}

TEST(Render, AReportNamesOnlyChecksThatDidNotPass) {
  const auto body = parse(R"({"epoch":1,"direction":"cutover","outcome":"refused","checks":[
    {"name":"version","verdict":"PASS"},
    {"name":"jobs","verdict":"WARN","measured":"2","waived":true},
    {"name":"replication.lag","verdict":"FAIL","measured":"9 s","todo":"wait"}]})");
  EXPECT_EQ(render_report(body),
            "cutover 1: refused\n"
            "WARN  jobs: 2\n"
            "      waived\n"
            "FAIL  replication.lag: 9 s\n"
            "      wait\n");
}

TEST(Render, Reports) {
  EXPECT_EQ(render_reports(parse(R"({"deployment":"app","epochs":[1,3]})")), "EPOCH\n1\n3\n");
  EXPECT_EQ(render_reports(parse(R"({"deployment":"app","epochs":[]})")), "no reports\n");
}

TEST(Render, Problem) {
  const auto body = parse(R"({"type":"x","title":"Refused","status":422,"detail":"replication.active failed"})");
  EXPECT_EQ(render_problem(body), "Refused\n  replication.active failed\n");
}

TEST(Render, ServersCannotSendTerminalCodes) {
  EXPECT_EQ(render_problem(parse(R"({"title":"a\u001b[31mb","detail":"c\nd"})")), "a [31mb\n  c d\n");
}

TEST(Render, EveryTableFitsTheScreen) {
  const std::string name(70, 'n');
  boost::json::object row;
  for (const char* const key :
       {"deployment", "address", "user", "database", "application", "state", "side", "pinned_by"}) {
    row[key] = name;
  }
  const boost::json::value body = boost::json::object{{"clients", boost::json::array{row}}};
  EXPECT_LE(widest_line(render_clients(body)), screen_columns);
  EXPECT_LE(widest_line(render_status(boost::json::object{
                {"deployments", boost::json::object{{name, boost::json::object{{"blue", name}, {"green", name}}}}}})),
            screen_columns);
}

TEST(Render, RampSaysWhatItWaitsForAndWhyItSteppedBack) {
  const std::string text = render_ramp(parse(R"({"phase":"stepped_back","percent":0,"actual_percent":0.5,
      "ladder":[1,100],"waiting_for":"reads","last_step_back":{"percent":25,"at":"2026-11-21","why":"error class 42",
      "shape":"select ? from t"},"shapes":[{"shape":"select a_very_long_list_of_columns from somewhere where id = ?",
      "green":{"reads":1234567,"p95_ms":12.345,"errors":3},"control":{"reads":7654321,"p95_ms":1.5,"errors":0}}]})"));
  for (const char* part : {"stepped_back", "waits: reads", "error class 42", "select ? from t", "1234567", "12.345"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_LE(widest_line(text), screen_columns);
  EXPECT_NE(render_ramp(parse("{}")), "") << "missing keys never matter";
}

TEST(Render, Shadow) {
  const auto body =
      parse(R"({"deployment":"app","percent":10,"writer":"blue","side":"green","since":"2026-01-02T03:04:05Z",
    "outcome":"different","runs":1200,"same":1190,"caught_up":3,"explained":4,"different":3,"failed":0,"unsettled":0,
    "unproven":0,"not_compared":0,"standing_still":false,"dropped":{"behind":7,"memory":0},"shapes":[
    {"shape":"select word from t where id = ?","runs":200,"same":190,"different":3,"failed":0,"explained":4,"slower":false,
     "blue":{"reads":200,"p50_ms":1.5,"p95_ms":2.5,"p99_ms":3.5},"green":{"reads":200,"p50_ms":1.75,"p95_ms":2.75,"p99_ms":3.75},
     "errors":[{"sqlstate":"42703","blue":0,"green":2}],"difference":"other values: 1 row, in word","explanation":"",
     "why_not_compared":"","plans":{"blue":"Index Scan using a","green":"Seq Scan on t"}},
    {"shape":"select a from u","runs":1000,"same":1000,"slower":true,"blue":{"p50_ms":1},"green":{"p50_ms":9}}]})");
  const std::string text = render_shadow(body);
  for (const char* part :
       {"different: 1200 reads run on green as well", "3 different", "4 explained", "7 behind", "differs", "slower",
        "select word from t", "other values: 1 row, in word", "42703 0x on blue and 2x on green", "Seq Scan on t"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_EQ(text.find("0 memory"), std::string::npos) << text;
  EXPECT_LE(widest_line(text), screen_columns);
  EXPECT_NE(render_shadow(parse("{}")), "") << "missing keys never matter";
  const auto none = parse(R"({"deployment":"app","side":"green","writer":"blue","since":""})");
  EXPECT_NE(render_shadow(none).find("turnout shadow app on 10"), std::string::npos);
  EXPECT_EQ(shadow_line("app", parse("{}")), "");
}

TEST(Render, CutsAtCharactersNotBytes) {
  EXPECT_EQ(shortened("äöüß", 4), "äöüß");
  EXPECT_EQ(shortened("äöüß", 3), "äö…");
  EXPECT_EQ(columns_of("äö…"), 3U);
}

TEST(Progress, LinesWhenThereIsNoTerminal) {
  std::ostringstream out;
  Progress progress(out, false);
  progress.on_event("phase", parse(R"({"deployment":"app","epoch":4,"phase":"drain","at_ms":100})").as_object());
  progress.on_event("phase", parse(R"({"phase":"drain","at_ms":104,"in_flight":2})").as_object());
  progress.on_event("phase", parse(R"({"phase":"fence","at_ms":112.5,"held_sessions":40})").as_object());
  progress.on_event("ramp", parse(R"({"percent":0})").as_object());
  progress.on_event("alarm", parse(R"({"text":"green is gone"})").as_object());
  EXPECT_EQ(out.str(),
            "      0.0 ms  drain\n"
            "     12.5 ms  fence  held sessions 40\n"
            "ALARM: text green is gone\n");
}

TEST(Progress, RedrawsInPlaceOnATerminal) {
  std::ostringstream out;
  Progress progress(out, true);
  progress.on_event("phase", parse(R"({"phase":"drain","at_ms":0})").as_object());
  progress.on_event("phase", parse(R"({"phase":"fence","at_ms":12.5})").as_object());
  EXPECT_EQ(out.str(),
            "\r\x1b[K  drain                 …\n"
            "\x1b[1A"
            "\r\x1b[K  drain           12.5 ms\n"
            "\r\x1b[K  fence                 …\n");
}

}  // namespace
}  // namespace turnout::control
