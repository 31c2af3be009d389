// The command line against a server with a fake backend: words in, exit code and text out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "control/cli.h"
#include "control/cli_verbs.h"
#include "control/http_server.h"
#include "control/server_check.h"
#include "control/version.h"
#include "surface_fake.h"

namespace turnout::control {
namespace {

using testing::HasSubstr;

struct Outcome {
  int code = -1;
  std::string out, err;
};

Outcome turnout(std::vector<std::string> words) {
  std::vector<const char*> argv{"turnout"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  std::ostringstream out, err;
  Outcome outcome;
  outcome.code = run_command_line(static_cast<int>(argv.size()), argv.data(), out, err);
  outcome.out = out.str();
  outcome.err = err.str();
  return outcome;
}

class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() {
    conf::Control control;
    control.listen = {"127.0.0.1", 0, ""};
    server_ = std::make_unique<HttpServer>(control, backend_);
    server_->start();
    url_ = "http://127.0.0.1:" + std::to_string(server_->port());
  }
  Outcome ask(std::vector<std::string> words) {
    words.insert(words.begin(), {"--control", url_});
    return turnout(std::move(words));
  }
  // A cutover that announces its phases, then its report, as Operations does.
  Outcome follow(std::vector<std::string> words, const std::string& report) {
    backend_.next = {202, 0, boost::json::object{{"epoch", 4}}};
    backend_.set_report(problem(404, "running", "Still running", "Ask again."));
    std::thread running([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      backend_.publish("phase", {{"deployment", "app"}, {"epoch", 3}, {"phase", "settle"}, {"at_ms", 0}});
      backend_.publish("phase", {{"deployment", "app"}, {"epoch", 4}, {"phase", "drain"}, {"at_ms", 0}});
      backend_.publish("phase", {{"deployment", "app"}, {"epoch", 4}, {"phase", "fence"}, {"at_ms", 12}});
      backend_.set_report({200, 0, boost::json::parse(report)});
      backend_.publish("report", {{"deployment", "app"}, {"epoch", 4}});
    });
    Outcome outcome = ask(std::move(words));
    running.join();
    return outcome;
  }

  FakeBackend backend_;
  std::unique_ptr<HttpServer> server_;
  std::string url_;
};

TEST_F(CommandLineTest, UsageIsTwo) {
  for (const auto& words : std::vector<std::vector<std::string>>{{},
                                                                 {"nonsense"},
                                                                 {"shift", "app"},
                                                                 {"shift", "app", "101"},
                                                                 {"cutover"},
                                                                 {"cutover", "app", "--timeout", "soon"},
                                                                 {"cutover", "app", "--dry-run", "--rehearse"},
                                                                 {"shadow"},
                                                                 {"shadow", "app", "on"},
                                                                 {"shadow", "app", "on", "0"},
                                                                 {"shadow", "app", "on", "101"},
                                                                 {"shadow", "app", "maybe"},
                                                                 {"compare"},
                                                                 {"compare", "app", "--rows-per-second", "0"},
                                                                 {"compare", "app", "--show", "--stop"},
                                                                 {"prepare", "app", "--replicate", "--undo"},
                                                                 {"status", "-o", "xml"},
                                                                 {"status", "--control", "ftp"},
                                                                 {"status", "--token-file", "/nonexistent"},
                                                                 {"run"}}) {
    EXPECT_EQ(turnout(words).code, 2) << testing::PrintToString(words);
  }
  EXPECT_EQ(turnout({"--help"}).code, 0);
  EXPECT_EQ(turnout({"cutover", "--help"}).code, 0);
}

TEST_F(CommandLineTest, EveryVerbReachesItsRoute) {
  struct Row {
    std::vector<std::string> words;
    std::string asks;
  };
  ::setenv("USER", "ann", 1);
  const std::string by = " by local/ann";
  for (const Row& row : std::vector<Row>{
           {{"status"}, "status"},
           {{"status", "app"}, "status app"},
           {{"pools"}, "pools"},
           {{"clients"}, "clients"},
           {{"blockers", "app"}, "blockers app"},
           {{"preflight", "app"}, "preflight app"},
           {{"preflight", "app", "--rollback"}, "preflight app rollback"},
           {{"prepare", "app"}, "prepare app" + by},
           {{"prepare", "app", "--replicate"}, "replicate app" + by},
           {{"prepare", "app", "--undo"}, "undo app" + by},
           {{"shift", "app", "50"}, "shift app 50" + by},
           {{"ramp", "start", "app"}, "ramp start app" + by},
           {{"ramp", "show", "app"}, "ramp app"},
           {{"shadow", "app"}, "shadow app"},
           {{"shadow", "app", "report"}, "shadow app"},
           {{"shadow", "app", "on", "10"}, "shadow app 10" + by},
           {{"shadow", "app", "off"}, "shadow app 0" + by},
           {{"compare", "app"}, "compare app" + by},
           {{"compare", "app", "--table", "s.a", "--table", "b", "--rows-per-second", "9", "--anew", "--detach"},
            "compare app anew s.a b 9/s" + by},
           {{"compare", "app", "--stop"}, "stop compare app" + by},
           {{"compare", "app", "--show"}, "compare app"},
           {{"cutover", "app", "--dry-run"}, "cutover app dry_run" + by},
           {{"cutover", "app", "--rehearse", "--timeout", "5s", "--waive", "a", "--waive", "b"},
            "cutover app rehearse 5000ms -a -b" + by},
           {{"rollback", "app"}, "rollback app" + by},
           {{"abort", "app"}, "abort app" + by},
           {{"finish", "app"}, "finish app" + by},
           {{"pause", "app"}, "pause app" + by},
           {{"resume", "app"}, "resume app" + by},
           {{"explain-route", "app", "SELECT 1"}, "explain app/: SELECT 1"},
           {{"report", "app", "--list"}, "reports app"},
           {{"audit", "--lines", "7"}, "audit 7"},
           {{"reload"}, "reload" + by}}) {
    const Outcome outcome = ask(row.words);
    EXPECT_EQ(outcome.code, 0) << testing::PrintToString(row.words) << outcome.err;
    EXPECT_EQ(backend_.asked().back(), row.asks);
  }
  EXPECT_EQ(ask({"report", "app", "9"}).code, 2);  // 404: no such report
  EXPECT_EQ(backend_.asked().back(), "report app 9");
}

TEST_F(CommandLineTest, CompareFollowsToTheEndAndEndsWithWhatWasFound) {
  const auto running = boost::json::parse(R"({"phase":"running","percent":42.5,"rows":1234,"current":"app.public.t"})");
  const auto found = boost::json::parse(
      R"({"phase":"finished","outcome":"different","rows":9,"percent":100,"differences":2,"unsettled":0,"failed":0,
          "tables":[{"database":"app","table":"public.t","stage":"done","mode":"ranges","rows":9,"differences":2}],
          "differing":[{"table":"public.t","kind":"differs","key":{"id":"7"},"columns":["name"]},
                       {"table":"public.t","kind":"only_on_blue","key":{"id":"8"}}]})");
  backend_.next = {202, 0, boost::json::object{{"phase", "running"}}};
  backend_.set_comparison({200, 0, running});
  std::thread ends([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    backend_.set_comparison({200, 4, found});
  });
  const Outcome outcome = ask({"compare", "app"});
  ends.join();
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.out, HasSubstr("[########............]  42.5 %  1234 rows  app.public.t\n"));
  EXPECT_THAT(outcome.out, HasSubstr("different: 9 rows of 1 tables, 2 differences\n"));
  EXPECT_THAT(outcome.out, HasSubstr("id=7  in name"));
  EXPECT_THAT(outcome.out, HasSubstr("only_on_blue"));
  const Outcome json = ask({"compare", "app", "-o", "json"});
  EXPECT_EQ(json.code, 4);
  EXPECT_EQ(boost::json::parse(json.out), found) << "one document, no progress";
  backend_.next = problem(422, "compare", "Nothing to compare", "Because.");
  EXPECT_EQ(ask({"compare", "app"}).code, 4);
}

// 202: the checks are over, the copy goes on; looked at until it has ended, and the exit code is that of its end.
TEST_F(CommandLineTest, ACopyIsFollowedToItsEnd) {
  backend_.next = {202, 0, boost::json::object{{"running", true}}};
  backend_.copy = {{"running", false}, {"phase", "done"}, {"tables", 3}, {"tables_ready", 3}};
  const Outcome fine = ask({"prepare", "app", "--replicate"});
  EXPECT_EQ(fine.code, 0) << fine.err;
  EXPECT_THAT(fine.out, HasSubstr("turnout abort app"));
  EXPECT_THAT(fine.out, HasSubstr("tables_ready"));
  backend_.copy = {{"running", false}, {"phase", "failed"}, {"error", "green is full"}};
  EXPECT_EQ(ask({"prepare", "app", "--replicate"}).code, 4);
  const Outcome document = ask({"prepare", "app", "--replicate", "-o", "json"});
  EXPECT_EQ(boost::json::parse(document.out).at("error"), "green is full") << "one document";
  backend_.copy = {{"running", false}};  // another process, that knows of none
  EXPECT_EQ(ask({"prepare", "app", "--replicate"}).code, 10);
}

TEST_F(CommandLineTest, GlobalOptionsMayFollowTheVerb) {
  const Outcome outcome = turnout({"status", "-o", "json", "--yes", "--control", url_});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "{\"ok\":true}\n");
}

TEST_F(CommandLineTest, TheServersExitCodeIsOurs) {
  for (const auto& [status, exit] : {std::pair{422, 4}, {409, 9}, {403, 8}, {404, 2}, {500, 10}}) {
    backend_.next = problem(status, "x", "Refused", "Because.");
    const Outcome outcome = ask({"pause", "app"});
    EXPECT_EQ(outcome.code, exit) << status;
    EXPECT_EQ(outcome.err, "Refused\n  Because.\n");
    EXPECT_EQ(outcome.out, "");
  }
  backend_.next = {422, 3, boost::json::object{{"title", "t"}, {"detail", "d"}}};
  EXPECT_EQ(ask({"reload"}).code, 3) << "the header outranks the status";
}

TEST_F(CommandLineTest, NobodyThereIsSeven) {
  const Outcome outcome = turnout({"status", "--control", "unix:/nonexistent/turnout.sock", "-o", "json"});
  EXPECT_EQ(outcome.code, 7);
  EXPECT_THAT(outcome.err, HasSubstr("Is turnout running"));
  EXPECT_TRUE(boost::json::parse(outcome.out).is_object());
}

TEST_F(CommandLineTest, ACutoverIsFollowedToItsReport) {
  const Outcome outcome =
      follow({"cutover", "app"}, R"({"epoch":4,"direction":"cutover","outcome":"committed","writer":"green"})");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out,
            "      0.0 ms  drain\n"
            "     12.0 ms  fence\n"
            "cutover 4: committed\n"
            "  writer          green\n");
}

TEST_F(CommandLineTest, AFollowedCutoverInJsonIsOnlyTheReport) {
  const Outcome outcome =
      follow({"cutover", "app", "-o", "json"}, R"({"epoch":4,"outcome":"reverted","reason":"drain"})");
  EXPECT_EQ(outcome.code, 5);
  EXPECT_EQ(boost::json::parse(outcome.out).at("outcome"), "reverted");
}

TEST_F(CommandLineTest, OutcomesHaveTheirCodes) {
  for (const auto& [report, exit] : {std::pair{R"({"outcome":"rehearsed"})", 0},
                                     {R"({"outcome":"refused"})", 4},
                                     {R"({"outcome":"reverted","reason":"aborted by an operator"})", 6},
                                     {R"({"outcome":"unknown"})", 10},
                                     {"{}", 10}}) {
    EXPECT_EQ(follow({"rollback", "app"}, report).code, exit) << report;
  }
}

TEST_F(CommandLineTest, ARefusalIsNotFollowed) {
  backend_.next = {422, 4, boost::json::parse(R"({"title":"Refused","detail":"by a check","checks":[
                     {"name":"replication.active","verdict":"FAIL","measured":"off","bound":"","todo":"start it"}]})")};
  const Outcome outcome = ask({"cutover", "app"});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_EQ(outcome.err, "Refused\n  by a check\nFAIL  replication.active: off\n      start it\n");
}

TEST(CommandLine, Version) {
  EXPECT_EQ(turnout({"version"}).out, "turnout " + std::string(version_text) + "\n");
  std::ifstream file(std::string(TURNOUT_SOURCE_DIR) + "/CMakeLists.txt");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(text, HasSubstr("project(turnout VERSION " + std::string(version_text) + " "))
      << "control/version.h and CMakeLists.txt differ";
}

TEST(CommandLine, Durations) {
  EXPECT_EQ(duration_ms("5s"), 5'000U);
  EXPECT_EQ(duration_ms("5"), 5'000U);
  EXPECT_EQ(duration_ms("1500ms"), 1'500U);
  EXPECT_EQ(duration_ms("2m"), 120'000U);
  EXPECT_EQ(duration_ms("1h"), 3'600'000U);
  for (const char* const wrong : {"", "s", "-1s", "5 s", "1d", "2h", "99999999999999999999", "1.5s"}) {
    EXPECT_FALSE(duration_ms(wrong)) << wrong;
  }
}

// A directory that goes with the test.
struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("turnout-check-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string write(const std::string& text) const {
    std::ofstream(path / "turnout.yaml") << text;
    return path / "turnout.yaml";
  }
};

constexpr const char* good = R"(deployments:
  app:
    protocol: postgres
    listen: ["127.0.0.1:6432"]
    blue: "127.0.0.1:1"
    green: "127.0.0.1:2"
    admin: { user: turnout }
    auth: trust
)";

TEST(CommandLine, CheckPrintsEveryMistakeAndIsThree) {
  const Folder folder;
  const std::string file = folder.write(std::string(good) + "    pol: { size: 20 }\n    poool: 1\n");
  const Outcome outcome = turnout({"check", "-c", file});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_THAT(outcome.err, HasSubstr(file + ":9:"));
  EXPECT_THAT(outcome.err, HasSubstr(file + ":10:"));
  const Outcome in_json = turnout({"check", "-c", file, "-o", "json"});
  EXPECT_EQ(in_json.code, 3);
  EXPECT_EQ(boost::json::parse(in_json.out).at("mistakes").as_array().size(), 2U);
  EXPECT_EQ(turnout({"check", "-c", "/nonexistent.yaml"}).code, 3);
}

TEST(CommandLine, CheckSaysOk) {
  const Folder folder;
  const Outcome outcome = turnout({"check", "-c", folder.write(good)});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "OK\n");
}

TEST(CommandLine, CheckConnectNamesTheSideThatIsAway) {
  const Folder folder;
  const Outcome outcome = turnout({"check", "--connect", "-c", folder.write(good)});
  EXPECT_EQ(outcome.code, 4);
  EXPECT_THAT(outcome.err, HasSubstr("blue 127.0.0.1:1"));
  EXPECT_THAT(outcome.err, HasSubstr("green 127.0.0.1:2"));
}

TEST(ServerCheck, APoolMustFitTheServer) {
  conf::Deployment deployment;
  deployment.name = "app";
  deployment.pool.size = 97;
  EXPECT_EQ(pool_mistake(deployment, "blue", 100, 3), "");
  deployment.pool.size = 98;
  EXPECT_THAT(pool_mistake(deployment, "blue", 100, 3),
              HasSubstr("98 is more than the 97 connections that blue allows"));
}

}  // namespace
}  // namespace turnout::control
