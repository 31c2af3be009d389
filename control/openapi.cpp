// /v1/openapi.json from the route table, so that the two cannot differ.
#include <string>

#include "control/routes.h"
#include "control/version.h"

namespace turnout::control {
namespace {

namespace json = boost::json;

json::object schema_of(const Field& field) {
  switch (field.type) {
    case FieldType::boolean:
      return {{"type", "boolean"}, {"default", false}};
    case FieldType::integer:
      return {{"type", "integer"}, {"minimum", field.least}, {"maximum", field.most}};
    case FieldType::text:
      return {{"type", "string"}, {"maxLength", field.most}};
    case FieldType::texts:
      return {{"type", "array"}, {"maxItems", field.most}, {"items", json::object{{"type", "string"}}}};
  }
  return {};
}

json::object response(std::string_view description, std::string_view type, std::string_view schema) {
  return {{"description", description},
          {"content", json::object{{type, json::object{{"schema", json::object{{"$ref", "#/components/schemas/" +
                                                                                            std::string(schema)}}}}}}}};
}

json::object responses_of(const Route& route) {
  json::object all;
  if (route.kind == Kind::metrics) {
    all["200"] = response("Prometheus text format 0.0.4", "text/plain", "Text");
  } else if (route.kind == Kind::events) {
    all["200"] = response("The stream; id is the event's number, event its type", "text/event-stream", "Text");
  } else {
    all["200"] = response("Done, or the answer", "application/json", "Body");
  }
  if (route.path.ends_with("/compare") && route.method == "POST") {
    all["202"] = response("Begun: follow with GET", "application/json", "Body");
  }
  if (route.path.ends_with("/cutover") || route.path.ends_with("/rollback")) {
    all["202"] = response("Started: follow /v1/events, then read reports/{epoch}", "application/json", "Body");
  }
  all["default"] = response("What was wrong and what to do", "application/problem+json", "Problem");
  return all;
}

json::array parameters_of(const Route& route) {
  json::array parameters;
  for (const std::string_view name : {"d", "epoch"}) {
    if (route.path.find("{" + std::string(name) + "}") == std::string_view::npos) continue;
    parameters.push_back(json::object{{"name", name},
                                      {"in", "path"},
                                      {"required", true},
                                      {"description", name == "d" ? "Name of the deployment" : "Number, or latest"},
                                      {"schema", json::object{{"type", "string"}}}});
  }
  if (route.method != "GET") return parameters;
  for (const Field& field : route.fields) {
    parameters.push_back(json::object{{"name", field.name},
                                      {"in", "query"},
                                      {"required", field.required},
                                      {"description", field.description},
                                      {"schema", schema_of(field)}});
  }
  return parameters;
}

json::object body_of(const Route& route) {
  json::object properties;
  json::array required;
  for (const Field& field : route.fields) {
    json::object schema = schema_of(field);
    schema["description"] = field.description;
    properties[field.name] = std::move(schema);
    if (field.required) required.emplace_back(field.name);
  }
  const bool needed = !required.empty();
  json::object schema = {{"type", "object"}, {"properties", std::move(properties)}, {"additionalProperties", false}};
  if (needed) schema["required"] = std::move(required);
  return {{"required", needed},
          {"content", json::object{{"application/json", json::object{{"schema", std::move(schema)}}}}}};
}

// "POST /v1/deployments/{d}/explain-route" → "post_deployments_explain_route"
std::string operation_id(const Route& route) {
  std::string id = route.method == "GET" ? "get" : "post";
  bool in_name = false;
  for (const char letter : route.path) {
    if (letter == '{' || letter == '}') in_name = letter == '{';
    const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9');
    if (letter == '{') id += "of_";
    if (plain) {
      id.push_back(letter);
    } else if (!in_name && id.back() != '_') {
      id.push_back('_');
    }
  }
  while (id.back() == '_') id.pop_back();
  return id;
}

json::object operation_of(const Route& route) {
  json::object operation = {{"operationId", operation_id(route)},
                            {"summary", route.summary},
                            {"parameters", parameters_of(route)},
                            {"responses", responses_of(route)}};
  if (route.method == "POST") operation["requestBody"] = body_of(route);
  // An empty requirement is how OpenAPI says "or nothing": unix peers and loopback without a configured token.
  if (!route.open) {
    operation["security"] = json::array{json::object{{"bearer", json::array{}}}, json::object{}};
  }
  return operation;
}

}  // namespace

json::object openapi() {
  json::object paths;
  for (const Route& route : routes()) {
    if (!paths.contains(route.path)) paths[route.path] = json::object{};
    paths[route.path].as_object()[route.method == "GET" ? "get" : "post"] = operation_of(route);
  }
  const json::object problem = {{"type", "object"},
                                {"required", json::array{"type", "title", "status", "detail"}},
                                {"properties", json::object{{"type", json::object{{"type", "string"}}},
                                                            {"title", json::object{{"type", "string"}}},
                                                            {"status", json::object{{"type", "integer"}}},
                                                            {"detail", json::object{{"type", "string"}}}}}};
  return {{"openapi", "3.1.0"},
          {"info", json::object{{"title", "Turnout control API"}, {"version", version_text}}},
          {"paths", std::move(paths)},
          {"components",
           json::object{
               {"schemas", json::object{{"Problem", problem},
                                        {"Body", json::object{{"type", json::array{"object", "array"}}}},
                                        {"Text", json::object{{"type", "string"}}}}},
               {"securitySchemes", json::object{{"bearer", json::object{{"type", "http"}, {"scheme", "bearer"}}}}}}}};
}

}  // namespace turnout::control
