// API answers as text for people. Pure: JSON in, text out; unknown or missing keys never matter.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "control/table.h"

namespace turnout::control {

[[nodiscard]] std::string render_status(const boost::json::value& body);
[[nodiscard]] std::string render_pools(const boost::json::value& body);
[[nodiscard]] std::string render_clients(const boost::json::value& body);
[[nodiscard]] std::string render_blockers(const boost::json::value& body);
[[nodiscard]] std::string render_preflight(const boost::json::value& body);  // also a dry run, with its plan
[[nodiscard]] std::string render_explain(const boost::json::value& body);
[[nodiscard]] std::string render_ramp(const boost::json::value& body);
[[nodiscard]] std::string render_shadow(const boost::json::value& body);
// A line of `status`; "" when there never was one.
[[nodiscard]] std::string shadow_line(std::string_view deployment, const boost::json::value& shadow);
[[nodiscard]] std::string render_comparison(const boost::json::value& body);
[[nodiscard]] std::string render_comparison_line(const boost::json::value& body);  // while it runs
// A line of `status`; "" when there never was one.
[[nodiscard]] std::string comparison_line(std::string_view deployment, const boost::json::value& comparison);
[[nodiscard]] std::string render_report(const boost::json::value& body);
[[nodiscard]] std::string render_reports(const boost::json::value& body);
[[nodiscard]] std::string render_audit(const boost::json::value& body);
[[nodiscard]] std::string render_done(const boost::json::value& body);
// One line, without its end: "copy: 3 of 10 tables, 12.3 of 98.0 MiB"
[[nodiscard]] std::string replication_line(const boost::json::value& body);
[[nodiscard]] std::string render_problem(const boost::json::value& body);

// A value in one line: texts as they are, numbers short, lists with commas, objects as key=value.
[[nodiscard]] std::string one_line(const boost::json::value& value);

// What an object has under `key`: null, "" and an empty list where it has nothing, or where it is no object.
[[nodiscard]] const boost::json::value& value_at(const boost::json::value& object, std::string_view key);
[[nodiscard]] std::string text_at(const boost::json::value& object, std::string_view key);  // in one line
[[nodiscard]] double number_at(const boost::json::value& body, std::string_view key);  // 0 where it has no number
// The list itself, or the list an object carries under `key`.
[[nodiscard]] const boost::json::array& list_at(const boost::json::value& body, std::string_view key);

}  // namespace turnout::control
