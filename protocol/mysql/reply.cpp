#include "protocol/mysql/reply.h"

namespace turnout::protocol::mysql {
namespace {

bool has(Capabilities set, Capabilities one) {
  return (set & one) != 0;
}

}  // namespace

std::optional<Ok> parse_ok(Bytes payload, Capabilities capabilities) {
  Reader reader(payload);
  const auto first = reader.u8();
  if (!first || (*first != ok_byte && *first != end_byte)) return std::nullopt;
  const auto affected_rows = reader.length();
  const auto last_insert_id = reader.length();
  const auto status = reader.u16();
  const auto warnings = reader.u16();
  if (!affected_rows || !last_insert_id || !status || !warnings) return std::nullopt;
  Ok ok{*affected_rows, *last_insert_id, *status, *warnings, {}, {}, *first == end_byte};
  if (reader.is_empty()) return ok;
  if (!has(capabilities, capability::session_track)) {
    // Documented as the rest of the message; servers count it nevertheless.
    Reader counted(reader.rest());
    const auto info = counted.counted();
    ok.info = info && counted.is_empty() ? *info : text(reader.rest());
    return ok;
  }
  const auto info = reader.counted();
  if (!info) return std::nullopt;
  ok.info = *info;
  if (has(*status, status::session_state_changed) && !reader.is_empty()) {
    const auto changes = reader.counted();
    if (!changes) return std::nullopt;
    ok.changes = *changes;
  }
  return ok;
}

void put_ok(std::string& payload, const Ok& ok, Capabilities capabilities) {
  const bool tells_changes =
      has(capabilities, capability::session_track) && (ok.announces_changes || !ok.changes.empty());
  const unsigned flags =
      tells_changes ? ok.status | status::session_state_changed : ok.status & ~unsigned{status::session_state_changed};
  Writer writer(payload);
  writer.u8(ok.ends_rows ? end_byte : ok_byte).length(ok.affected_rows).length(ok.last_insert_id);
  writer.u16(static_cast<std::uint16_t>(flags)).u16(ok.warnings);
  if (tells_changes || !ok.info.empty()) writer.counted(ok.info);
  if (tells_changes) writer.counted(ok.changes);
}

std::optional<Eof> parse_eof(Bytes payload) {
  Reader reader(payload);
  const auto first = reader.u8();
  const auto warnings = reader.u16();
  const auto status = reader.u16();
  if (!first || *first != end_byte || !warnings || !status || !reader.is_empty()) return std::nullopt;
  return Eof{*warnings, *status};
}

void put_eof(std::string& payload, const Eof& eof) {
  Writer(payload).u8(end_byte).u16(eof.warnings).u16(eof.status);
}

Error parse_error(Bytes payload) {
  Reader reader(payload);
  Error error;
  if (reader.u8() != error_byte) return error;
  const auto number = reader.u16();
  if (!number) return error;
  error.number = *number;
  const std::string_view rest = text(reader.rest());
  const bool has_sqlstate = rest.size() >= 6 && rest[0] == '#';
  if (has_sqlstate) error.sqlstate = rest.substr(1, 5);
  error.message = has_sqlstate ? rest.substr(6) : rest;
  return error;
}

void put_error(std::string& payload, const Error& error) {
  Writer writer(payload);
  writer.u8(error_byte).u16(error.number);
  if (!error.sqlstate.empty()) writer.raw("#").raw(error.sqlstate);
  writer.raw(error.message);
}

}  // namespace turnout::protocol::mysql
