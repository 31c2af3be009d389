// Checks what a caller sent against the fields of its route. The texts say what is allowed, for they are read by
// people.
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "control/api.h"

namespace turnout::control {
namespace {

namespace json = boost::json;

const Field* field_named(const Route& route, std::string_view name) {
  for (const Field& field : route.fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

std::string unknown(const Route& route, std::string_view name) {
  std::string text = "Unknown argument '" + std::string(name.substr(0, 64)) + "'; ";
  if (route.fields.empty()) return text + "this route takes none.";
  text += "known are:";
  for (const Field& field : route.fields) text += " " + std::string(field.name);
  return text + ".";
}

std::string quoted(const Field& field) {
  return "'" + std::string(field.name) + "' ";
}

// "" = as it should be.
std::string wrong_value(const Field& field, const json::value& value) {
  switch (field.type) {
    case FieldType::boolean:
      return value.is_bool() ? "" : quoted(field) + "is true or false.";
    case FieldType::integer: {
      const bool fits = value.is_int64() && value.get_int64() >= field.least && value.get_int64() <= field.most;
      if (fits) return "";
      return quoted(field) + "is a whole number from " + std::to_string(field.least) + " to " +
             std::to_string(field.most) + ".";
    }
    case FieldType::text: {
      const bool fits = value.is_string() && value.get_string().size() <= static_cast<std::size_t>(field.most);
      return fits ? "" : quoted(field) + "is a text of at most " + std::to_string(field.most) + " bytes.";
    }
    case FieldType::texts: {
      const std::string rule = quoted(field) + "is a list of at most " + std::to_string(field.most) + " texts.";
      if (!value.is_array() || value.get_array().size() > static_cast<std::size_t>(field.most)) return rule;
      for (const auto& item : value.get_array()) {
        if (!item.is_string() || item.get_string().size() > 128) return rule;
      }
      return "";
    }
  }
  return "";
}

std::string missing(const Route& route, const json::object& values) {
  for (const Field& field : route.fields) {
    if (field.required && !values.contains(field.name)) {
      return quoted(field) + "is missing. " + std::string(field.description);
    }
  }
  return "";
}

// A query string has only texts: the field says what was meant.
std::optional<json::value> value_of_text(const Field& field, const std::string& text) {
  switch (field.type) {
    case FieldType::boolean:
      if (text == "true" || text == "1" || text.empty()) return json::value(true);
      if (text == "false" || text == "0") return json::value(false);
      return std::nullopt;
    case FieldType::integer: {
      std::int64_t number = 0;
      const char* const end = text.data() + text.size();
      const auto [stop, error] = std::from_chars(text.data(), end, number);
      if (error != std::errc{} || stop != end) return std::nullopt;
      return json::value(number);
    }
    case FieldType::text:
      return json::value(text);
    case FieldType::texts:
      return json::value(json::array{json::value(text)});
  }
  return std::nullopt;
}

}  // namespace

Arguments arguments_of_body(const Route& route, const std::string& body) {
  Arguments arguments;
  if (body.find_first_not_of(" \t\r\n") != std::string::npos) {
    json::parse_options options;
    options.max_depth = 8;
    json::error_code error;
    const json::value parsed = json::parse(body, error, {}, options);
    if (error) {
      arguments.wrong = "The body is not JSON: " + error.message() + ".";
      return arguments;
    }
    if (!parsed.is_object()) {
      arguments.wrong = "The body is JSON but not an object.";
      return arguments;
    }
    for (const auto& [name, value] : parsed.get_object()) {
      const Field* field = field_named(route, name);
      arguments.wrong = field == nullptr ? unknown(route, name) : wrong_value(*field, value);
      if (!arguments.wrong.empty()) return arguments;
    }
    arguments.values = parsed.get_object();
  }
  arguments.wrong = missing(route, arguments.values);
  return arguments;
}

Arguments arguments_of_query(const Route& route, std::string_view query) {
  Arguments arguments;
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.empty()) continue;
    const auto equals = std::min(pair.find('='), pair.size());
    const std::string_view name = pair.substr(0, equals);
    const Field* field = field_named(route, name);
    if (field == nullptr) {
      arguments.wrong = unknown(route, name);
      return arguments;
    }
    const auto text = percent_decoded(pair.substr(std::min(equals + 1, pair.size())));
    const auto value = text ? value_of_text(*field, *text) : std::nullopt;
    arguments.wrong = value ? wrong_value(*field, *value) : wrong_value(*field, json::value(nullptr));
    if (!arguments.wrong.empty()) return arguments;
    arguments.values[field->name] = *value;
  }
  arguments.wrong = missing(route, arguments.values);
  return arguments;
}

}  // namespace turnout::control
