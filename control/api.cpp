#include "control/api.h"

#include <boost/json/serialize.hpp>
#include <charconv>
#include <exception>
#include <utility>

#include "control/exit_code.h"
#include "control/metrics.h"

namespace turnout::control {
namespace {

constexpr std::string_view problem_type = "application/problem+json";

HttpResponse response_of(const Answer& answer) {
  HttpResponse response;
  response.status = answer.http_status;
  response.exit_code = answer.exit_code;
  if (answer.http_status >= 400) response.content_type = problem_type;
  response.body = boost::json::serialize(answer.body);
  response.body.push_back('\n');
  return response;
}

std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

std::string_view query_of(std::string_view target) {
  const auto mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

// A form cannot send this type without asking first, so a page of another origin cannot send a body.
bool is_json(std::string_view content_type) {
  return content_type.substr(0, content_type.find(';')).starts_with("application/json");
}

struct Found {
  const Route* route = nullptr;
  Call call;
  std::string allow;  // methods of this path, when none of them is the request's
};

Found find(const HttpRequest& request) {
  Found found;
  for (const Route& route : routes()) {
    Call call;
    if (!matches(route, path_of(request.target), call)) continue;
    if (route.method == request.method) {
      found.route = &route;
      found.call = std::move(call);
      return found;
    }
    found.allow += (found.allow.empty() ? "" : ", ") + std::string(route.method);
  }
  return found;
}

}  // namespace

Api::Api(Backend& backend, AccessRules rules) : backend_(backend), rules_(std::move(rules)) {}

bool Api::is_slow(const HttpRequest& request) const {
  const Found found = find(request);
  return found.route != nullptr && found.route->pace == Pace::slow;
}

HttpResponse Api::handle(const HttpRequest& request) const {
  Found found = find(request);
  // Access first: without a token nobody learns which paths exist.
  if (const auto refused = refuse(request, rules_, found.route != nullptr && found.route->open)) {
    return response_of(*refused);
  }
  if (found.route == nullptr && found.allow.empty()) {
    return response_of(problem(404, "no_route", "No such path", "The paths are listed by GET /v1/openapi.json."));
  }
  if (found.route == nullptr) {
    HttpResponse response = response_of(
        problem(405, "wrong_method", "Wrong method", "This path answers to " + found.allow + "; changes are POST."));
    response.allow = found.allow;
    return response;
  }
  try {
    return serve(*found.route, found.call, request);
  } catch (const std::exception& failed) {
    return response_of(problem(500, "internal", "The control side failed",
                               std::string(failed.what()) + ". What was begun may have been done: look at status."));
  }
}

HttpResponse Api::serve(const Route& route, Call& call, const HttpRequest& request) const {
  const bool has_body = request.body.find_first_not_of(" \t\r\n") != std::string::npos;
  if (route.method == "POST" && has_body && !is_json(request.content_type)) {
    return response_of(
        problem(415, "not_json", "The body's type is not JSON", "Send 'Content-Type: application/json'."));
  }
  Arguments arguments = route.method == "POST" ? arguments_of_body(route, request.body)
                                               : arguments_of_query(route, query_of(request.target));
  if (!arguments.wrong.empty()) {
    return response_of(problem(400, "bad_argument", "An argument is wrong", arguments.wrong));
  }
  call.arguments = std::move(arguments.values);
  call.who = who(request, rules_);
  switch (route.kind) {
    case Kind::json:
      return response_of(route.run(backend_, call));
    case Kind::metrics: {
      HttpResponse response;
      response.content_type = "text/plain; version=0.0.4; charset=utf-8";
      response.body = metrics_text(backend_);
      return response;
    }
    case Kind::events: {
      HttpResponse response;
      response.content_type = "text/event-stream";
      std::uint64_t after = only_new_events;
      const auto* asked = call.arguments.if_contains("after");
      if (asked != nullptr) after = static_cast<std::uint64_t>(asked->as_int64());
      // What the browser or our own client saw last outranks the URL it began with.
      const std::string& last = request.last_event_id;
      if (!last.empty()) std::from_chars(last.data(), last.data() + last.size(), after);
      response.events_after = after;
      return response;
    }
  }
  return failure(500, "a route of an unknown kind");
}

HttpResponse Api::failure(int status, std::string_view detail) {
  const std::string_view title = status == 413   ? "The body is too large"
                                 : status == 431 ? "The header is too large"
                                 : status == 503 ? "Too many connections"
                                 : status == 500 ? "The control side failed"
                                                 : "Not a request";
  return response_of(problem(status, status == 400 ? "not_http" : "limit", title, detail));
}

}  // namespace turnout::control
