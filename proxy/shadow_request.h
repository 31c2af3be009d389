// PostgreSQL's ShadowRead: what it says, with which values, under which settings.
//
// Owns all of it. A prepared statement is the shared one, so on a connection that has it it runs as it does for
// clients, with the plan that the server keeps. What was sent as a simple query is sent as one, for it answers in text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/pg/wire.h"
#include "proxy/parameters.h"
#include "proxy/shadow_read.h"
#include "proxy/statement.h"
#include "proxy/type_lens.h"

namespace turnout::proxy {

class ServerConnection;

using ParametersPtr = std::shared_ptr<const Parameters>;

struct ShadowRequest final : ShadowRead {
  ParametersPtr parameters;     // settings that it ran under, but for what changes no answer; null: none
  std::string sql;              // of a simple query
  StatementPtr statement;       // of a prepared one
  std::string parse;            // content of an unnamed one: query, zero, parameter types
  std::string bind;             // of either: what stands behind the names
  bool describes = false;       // the client asked what the columns are
  bool is_parsed_anew = false;  // the unnamed statement was prepared together with it: that is part of its latency

  [[nodiscard]] bool is_simple() const { return !statement && parse.empty(); }
  [[nodiscard]] std::string_view text() const override;
  [[nodiscard]] std::size_t bytes() const override;
  [[nodiscard]] std::unique_ptr<ShadowRead> explained() const override;
};

// What a session knows by these names; "" is the unnamed statement.
struct ShadowNames {
  std::function<StatementPtr(std::string_view name)> statement;  // null: none of that name
  std::function<StatementPtr(std::string_view content)> intern;  // of a Parse with a name, in the segment
  std::string_view unnamed;                                      // content of the unnamed one, "" = none
};

// `segment`: a simple query, or messages up to their Sync. Nothing: a form that is not shadowed (several Binds, rows by
// portions, nothing executed).
[[nodiscard]] std::optional<ShadowRequest> read_segment(protocol::pg::Bytes segment, const ShadowNames& names);

// Settings without those that change no answer, and with the shadow's own time limit.
[[nodiscard]] Parameters shadow_parameters(const Parameters& session, std::uint32_t statement_ms_max);

// The same, asking for its plan. Nothing: its Bind cannot be read.
[[nodiscard]] std::optional<ShadowRequest> explain_request(const ShadowRequest& request);

struct ShadowSent {
  std::size_t answers_before = 0;  // of settings
  bool is_as_usual = true;         // nothing was sent that its latency on the writer did not have
  bool prepares = false;           // a statement that the connection will keep
  // The server was asked for the types of the values, and nothing else: put_execution() when it has told them.
  bool awaits_types = false;
  TypeLens::Ticket description = 0, rows = 0;  // of the connection's lens, if it has one
  // What precedes a read may fail; nothing is sent behind it that builds upon it.
  [[nodiscard]] bool may_be_followed() const { return answers_before == 0 && !prepares && !awaits_types; }
};
// Appends what runs it on that connection, and notes there what it has then. `keep_max`: statements that the connection
// keeps.
[[nodiscard]] ShadowSent put_request(std::string& out, const ShadowRequest& request, ServerConnection& connection,
                                     std::uint32_t keep_max, bool wants_description);
void put_execution(std::string& out, const ShadowRequest& request, ServerConnection& connection, bool wants_description,
                   ShadowSent& sent);

}  // namespace turnout::proxy
