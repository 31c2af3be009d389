// The route table, its documentation, its access rules and its arguments; no socket anywhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <set>

#include "control/api.h"
#include "control/exit_code.h"
#include "surface_fake.h"

namespace turnout::control {
namespace {

namespace json = boost::json;
using testing::ElementsAre;
using testing::HasSubstr;

HttpRequest request(std::string method, std::string target, std::string body = "") {
  HttpRequest made;
  made.method = std::move(method);
  made.target = std::move(target);
  made.host = "127.0.0.1:6480";
  made.content_type = "application/json";
  made.body = std::move(body);
  return made;
}

// A path that the route answers to, and a body it accepts.
HttpRequest valid_request(const Route& route) {
  std::string path(route.path);
  if (const auto at = path.find("{d}"); at != std::string::npos) path.replace(at, 3, "app");
  if (const auto at = path.find("{epoch}"); at != std::string::npos) path.replace(at, 7, "7");
  json::object body;
  for (const Field& field : route.fields) {
    if (!field.required) continue;
    if (field.type == FieldType::integer) body[field.name] = field.most;
    if (field.type == FieldType::text) body[field.name] = "SELECT 1";
  }
  HttpRequest made = request(std::string(route.method), path);
  if (route.method == "POST") made.body = json::serialize(body);
  return made;
}

std::string detail(const HttpResponse& response) {
  return std::string(json::parse(response.body).at("detail").as_string());
}

TEST(Routes, OpenApiListsExactlyTheTable) {
  std::set<std::string> documented, real;
  const json::object document = openapi();
  for (const auto& [path, item] : document.at("paths").as_object()) {
    for (const auto& [method, operation] : item.as_object()) {
      documented.insert((method == "get" ? "GET " : "POST ") + std::string(path));
    }
  }
  for (const Route& route : routes()) real.insert(std::string(route.method) + " " + std::string(route.path));
  EXPECT_EQ(documented, real);
  EXPECT_EQ(real.size(), routes().size()) << "a route is in the table twice";
}

TEST(Routes, OpenApiDescribesEveryArgument) {
  const json::object document = openapi();
  std::set<std::string> operation_ids;
  for (const Route& route : routes()) {
    const auto& operation = document.at("paths").at(route.path).at(route.method == "GET" ? "get" : "post").as_object();
    operation_ids.insert(std::string(operation.at("operationId").as_string()));
    for (const Field& field : route.fields) {
      EXPECT_FALSE(field.description.empty()) << route.path;
      if (route.method == "POST") {
        const auto& schema = operation.at("requestBody").at("content").at("application/json").at("schema");
        EXPECT_TRUE(schema.at("properties").as_object().contains(field.name)) << route.path << " " << field.name;
      } else {
        EXPECT_THAT(json::serialize(operation.at("parameters")), HasSubstr("\"" + std::string(field.name) + "\""));
      }
    }
  }
  EXPECT_EQ(operation_ids.size(), routes().size());
}

TEST(Routes, OnlyPostsChangeAnything) {
  FakeBackend backend;
  const Api api(backend, {});
  for (const Route& route : routes()) {
    if (route.method == "GET") static_cast<void>(api.handle(valid_request(route)));
  }
  for (const std::string& call : backend.asked()) EXPECT_EQ(call.find(" by "), std::string::npos) << call;
}

// Every route × every kind of caller.
TEST(Access, MatrixOverEveryRoute) {
  FakeBackend backend;
  const Api guarded(backend, {"secret", "0.0.0.0"});
  const Api unguarded(backend, {"", "127.0.0.1"});
  for (const Route& route : routes()) {
    SCOPED_TRACE(std::string(route.method) + " " + std::string(route.path));
    const HttpRequest plain = valid_request(route);
    EXPECT_EQ(unguarded.handle(plain).status, route.path.ends_with("{epoch}") ? 404 : 200);

    HttpRequest without = plain;
    EXPECT_EQ(guarded.handle(without).status, route.open ? 200 : 401);
    HttpRequest wrong = plain;
    for (const char* const given : {"Bearer secre", "Bearer secret2", "Bearer ", "secret", "Basic secret"}) {
      wrong.authorization = given;
      EXPECT_EQ(guarded.handle(wrong).status, route.open ? 200 : 401) << given;
    }
    HttpRequest right = plain;
    right.authorization = "bearer secret";
    EXPECT_LT(guarded.handle(right).status, 405);
    EXPECT_NE(guarded.handle(right).status, 401);

    HttpRequest peer = plain;
    peer.unix_uid = 1000;
    peer.host = "localhost";
    EXPECT_NE(guarded.handle(peer).status, 401);

    HttpRequest foreign_page = right;
    foreign_page.origin = "http://evil.example";
    EXPECT_EQ(guarded.handle(foreign_page).status, 403);
    foreign_page.origin = "null";
    EXPECT_EQ(guarded.handle(foreign_page).status, 403);
    HttpRequest own_page = right;
    own_page.origin = "http://127.0.0.1:6480";
    EXPECT_NE(guarded.handle(own_page).status, 403);

    HttpRequest rebound = plain;
    rebound.host = "evil.example:6480";
    EXPECT_EQ(unguarded.handle(rebound).status, route.open ? 200 : 403);
    HttpRequest hostless = plain;
    hostless.host = "";
    EXPECT_EQ(unguarded.handle(hostless).status, 400);
  }
}

TEST(Access, LocalNamesAreAcceptedAsHost) {
  FakeBackend backend;
  const Api api(backend, {"", "127.0.0.1"});
  for (const char* const host : {"localhost", "LOCALHOST:6480", "127.0.0.1", "[::1]:6480", "127.0.0.1:6480"}) {
    HttpRequest asked = request("GET", "/v1/deployments");
    asked.host = host;
    EXPECT_EQ(api.handle(asked).status, 200) << host;
  }
}

TEST(Access, WithoutATokenNobodyLearnsWhichPathsExist) {
  FakeBackend backend;
  const Api api(backend, {"secret", ""});
  EXPECT_EQ(api.handle(request("GET", "/v1/nothing")).status, 401);
  EXPECT_EQ(api.handle(request("DELETE", "/v1/deployments")).status, 401);
}

TEST(Access, WhoIsWhatWeKnowThenWhatTheySay) {
  HttpRequest asked;
  EXPECT_EQ(who(asked, {"", ""}), "local");
  EXPECT_EQ(who(asked, {"secret", ""}), "token");
  asked.user = "ann\n\"root\"";
  EXPECT_EQ(who(asked, {"secret", ""}), "token/annroot");
  asked.unix_uid = 0;
  EXPECT_EQ(who(asked, {"secret", ""}), "unix:0/annroot");
  asked.user = std::string(1000, 'x');
  EXPECT_EQ(who(asked, {"", ""}).size(), std::string("unix:0/").size() + 64);
}

TEST(Access, ComparesTokensByContent) {
  EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_in_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_in_constant_time("ab", "abc"));
  EXPECT_FALSE(equal_in_constant_time("", "abc"));
}

TEST(Api, CallsReachTheBackendWithTheirArguments) {
  FakeBackend backend;
  const Api api(backend, {});
  const auto post = [&](const std::string& path, const std::string& body) {
    EXPECT_EQ(api.handle(request("POST", "/v1/deployments/app" + path, body)).status, 200) << path;
  };
  post("/shift", R"({"percent":50})");
  post("/ramp", R"({"action":"pause"})");
  EXPECT_EQ(api.handle(request("GET", "/v1/deployments/app/ramp")).status, 200);
  post("/cutover", R"({"rehearse":true,"timeout_ms":5000,"waive":["types.oids","version"]})");
  post("/rollback", "");
  post("/explain-route", R"({"sql":"SELECT 1","database":"app"})");
  post("/preflight", R"({"rollback":true})");
  EXPECT_EQ(api.handle(request("GET", "/v1/deployments/a%20b/preflight?rollback=true")).status, 200);
  EXPECT_EQ(api.handle(request("GET", "/v1/audit?lines=5")).status, 200);
  EXPECT_THAT(backend.asked(),
              ElementsAre("shift app 50 by local", "ramp pause app by local", "ramp app",
                          "cutover app rehearse 5000ms -types.oids -version by local", "rollback app by local",
                          "explain app/app: SELECT 1", "preflight app rollback", "preflight a b rollback", "audit 5"));
}

TEST(Api, WrongArgumentsAreNamed) {
  FakeBackend backend;
  const Api api(backend, {});
  struct Row {
    const char *path, *body, *says;
  };
  for (const Row& row :
       {Row{"/shift", "{}", "'percent' is missing"}, Row{"/shift", R"({"percent":101})", "from 0 to 100"},
        Row{"/shift", R"({"percent":"50"})", "whole number"}, Row{"/shift", R"({"percent":5.5})", "whole number"},
        Row{"/shift", R"({"percent":50,"persent":1})", "Unknown argument 'persent'; known are: percent"},
        Row{"/shift", "{", "not JSON"}, Row{"/shift", "[1]", "not an object"},
        Row{"/shift", R"({"percent":[[[[[[[[[[1]]]]]]]]]]})", "not JSON"},
        Row{"/cutover", R"({"waive":"types.oids"})", "list of at most"},
        Row{"/cutover", R"({"waive":[1]})", "list of at most"}, Row{"/cutover", R"({"dry_run":1})", "true or false"},
        Row{"/cutover", R"({"dry_run":true,"rehearse":true})", "choose one"},
        Row{"/abort", R"({"x":1})", "takes none"}}) {
    const auto response = api.handle(request("POST", std::string("/v1/deployments/app") + row.path, row.body));
    EXPECT_EQ(response.status, 400) << row.body;
    EXPECT_EQ(response.exit_code, 2) << row.body;
    EXPECT_EQ(response.content_type, "application/problem+json");
    EXPECT_THAT(detail(response), HasSubstr(row.says)) << row.body;
  }
  EXPECT_THAT(detail(api.handle(request("GET", "/v1/audit?lines=x"))), HasSubstr("whole number"));
  EXPECT_THAT(detail(api.handle(request("GET", "/v1/audit?a=1"))), HasSubstr("known are: lines"));
  EXPECT_THAT(detail(api.handle(request("GET", "/v1/deployments/app/reports/x1"))), HasSubstr("An epoch is a number"));
  EXPECT_TRUE(backend.asked().empty());
}

TEST(Api, ABodyThatIsNotJsonByTypeIsRefused) {
  FakeBackend backend;
  const Api api(backend, {});
  HttpRequest form = request("POST", "/v1/deployments/app/shift", R"({"percent":50})");
  form.content_type = "text/plain";
  EXPECT_EQ(api.handle(form).status, 415);
  form.content_type = "application/json; charset=utf-8";
  EXPECT_EQ(api.handle(form).status, 200);
}

TEST(Api, UnknownPathsAndMethods) {
  FakeBackend backend;
  const Api api(backend, {});
  for (const char* const path :
       {"/", "/v1", "/v1/", "/v1/deployments/", "/v1/deployments//cutover", "/metrics/", "/v1/deployments/app/cutover/",
        "/v1/deployments/%00/pause", "/v1/deployments/%/pause"}) {
    EXPECT_EQ(api.handle(request("GET", path)).status, 404) << path;
  }
  const auto wrong = api.handle(request("GET", "/v1/deployments/app/cutover"));
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.allow, "POST");
  EXPECT_EQ(api.handle(request("PUT", "/v1/deployments/app/preflight")).allow, "GET, POST");
  EXPECT_EQ(api.handle(request("POST", "/metrics")).allow, "GET");
}

TEST(Api, SlowRoutesAreToldApart) {
  FakeBackend backend;
  const Api api(backend, {});
  EXPECT_TRUE(api.is_slow(request("POST", "/v1/deployments/app/prepare")));
  EXPECT_TRUE(api.is_slow(request("GET", "/v1/deployments/app/preflight")));
  EXPECT_FALSE(api.is_slow(request("POST", "/v1/deployments/app/abort")));
  EXPECT_FALSE(api.is_slow(request("GET", "/livez")));
}

TEST(Api, Health) {
  FakeBackend backend;
  const Api api(backend, {"secret", ""});
  EXPECT_EQ(api.handle(request("GET", "/livez")).status, 200);
  EXPECT_EQ(api.handle(request("GET", "/readyz")).status, 200);
  backend.is_ready = false;
  EXPECT_EQ(api.handle(request("GET", "/livez")).status, 200);
  EXPECT_EQ(api.handle(request("GET", "/readyz")).status, 503);
}

TEST(Api, EventStreamsSayWhereTheyBegin) {
  FakeBackend backend;
  const Api api(backend, {});
  EXPECT_EQ(api.handle(request("GET", "/v1/events")).events_after, only_new_events);
  EXPECT_EQ(api.handle(request("GET", "/v1/events?after=3")).events_after, 3U);
  HttpRequest again = request("GET", "/v1/events?after=3");
  again.last_event_id = "9";
  EXPECT_EQ(api.handle(again).events_after, 9U);
}

TEST(Api, ABackendThatThrowsIsA500WithTheOutcomeUnknown) {
  struct Broken : FakeBackend {
    Answer prepare(const std::string&, const std::string&) override { throw std::runtime_error("disk full"); }
  } backend;
  const Api api(backend, {});
  const auto response = api.handle(request("POST", "/v1/deployments/app/prepare"));
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.exit_code, 10);
  EXPECT_THAT(detail(response), HasSubstr("disk full"));
}

TEST(ExitCodes, OfStatus) {
  struct Row {
    int status, exit;
  };
  for (const Row& row : {Row{200, 0},
                         {202, 0},
                         {400, 2},
                         {404, 2},
                         {405, 2},
                         {401, 8},
                         {403, 8},
                         {409, 9},
                         {412, 4},
                         {422, 4},
                         {500, 10},
                         {502, 7},
                         {503, 7},
                         {504, 7}}) {
    EXPECT_EQ(code(exit_for_status(row.status)), row.exit) << row.status;
  }
}

TEST(ExitCodes, OfOutcome) {
  EXPECT_EQ(code(exit_for_outcome("committed", "")), 0);
  EXPECT_EQ(code(exit_for_outcome("rehearsed", "rehearsal")), 0);
  EXPECT_EQ(code(exit_for_outcome("refused", "replication.active")), 4);
  EXPECT_EQ(code(exit_for_outcome("reverted", "drain: not empty after 1500 ms")), 5);
  EXPECT_EQ(code(exit_for_outcome("reverted", "aborted by an operator")), 6);
  EXPECT_EQ(code(exit_for_outcome("unknown", "")), 10);
  EXPECT_EQ(code(exit_for_outcome("", "")), 10);
}

}  // namespace
}  // namespace turnout::control
