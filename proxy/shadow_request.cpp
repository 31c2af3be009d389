#include "proxy/shadow_request.h"

#include <utility>
#include <vector>

#include "proxy/server_connection.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::string_view explain = "EXPLAIN ";

// A Bind's body behind the names, taken apart: formats of the values, the values, formats of the columns.
struct BindParts {
  std::vector<bool> binary;     // of the values: as many as there are, none, or one for all
  std::vector<bool> has_bytes;  // of the values
  std::size_t columns_at = 0;   // where the formats of the columns begin
};

std::optional<BindParts> take_apart(std::string_view bind) {
  pg::Reader reader(pg::bytes_of(bind));
  BindParts parts;
  const auto formats = reader.u16();
  for (std::uint32_t i = 0; formats && i < *formats; ++i) {
    const auto format = reader.u16();
    if (!format) return std::nullopt;
    parts.binary.push_back(*format == 1);
  }
  const auto values = reader.u16();
  if (!formats || !values) return std::nullopt;
  for (std::uint32_t i = 0; i < *values; ++i) {
    const auto length = reader.u32();
    if (!length) return std::nullopt;
    parts.has_bytes.push_back(*length != UINT32_MAX);
    if (*length != UINT32_MAX && !reader.take(*length)) return std::nullopt;
  }
  parts.columns_at = bind.size() - reader.rest().size();
  return parts;
}

std::vector<pg::Oid> declared_types(std::string_view content) {
  std::vector<pg::Oid> types;
  const std::size_t zero = content.find('\0');
  if (zero == std::string_view::npos) return types;
  pg::Reader reader(pg::bytes_of(content.substr(zero + 1)));
  const auto count = reader.u16();
  for (std::uint32_t i = 0; count && i < *count; ++i) {
    const auto type = reader.u32();
    if (!type) break;
    types.push_back(*type);
  }
  return types;
}

void put_content(std::string& out, std::string_view content, const pg::OidTable* to_server) {
  const std::size_t zero = content.find('\0');
  if (to_server == nullptr || zero == std::string_view::npos) {
    out.append(content);
    return;
  }
  const std::vector<pg::Oid> types = declared_types(content);
  out.append(content.substr(0, zero + 1));
  pg::Writer writer(out);
  writer.u16(static_cast<std::uint16_t>(types.size()));
  for (const pg::Oid type : types) writer.u32(to_server->translate(type));
}

void put_parse(std::string& out, std::string_view name, std::string_view content, const pg::OidTable* to_server) {
  pg::Writer message(out);
  message.begin('P').cstring(name);
  put_content(out, content, to_server);
  message.end();
}

}  // namespace

std::string_view ShadowRequest::text() const {
  if (statement) return statement->sql();
  return parse.empty() ? std::string_view(sql) : std::string_view(parse.c_str());
}

std::size_t ShadowRequest::bytes() const {
  std::size_t bytes = sizeof *this + sql.size() + parse.size() + bind.size();
  if (!parameters) return bytes;
  for (const auto& [name, value] : parameters->entries()) bytes += name.size() + value.size() + sizeof name * 2;
  return bytes;
}

std::unique_ptr<ShadowRead> ShadowRequest::explained() const {
  auto asked = explain_request(*this);
  return asked ? std::make_unique<ShadowRequest>(std::move(*asked)) : nullptr;
}

Parameters shadow_parameters(const Parameters& session, std::uint32_t statement_ms_max) {
  Parameters parameters = session;
  for (const std::string_view unimportant : {"application_name", "lock_timeout", "idle_in_transaction_session_timeout",
                                             "idle_session_timeout", "transaction_timeout"})
    parameters.erase(unimportant);
  parameters.set("statement_timeout", std::to_string(statement_ms_max));
  return parameters;
}

std::optional<ShadowRequest> read_segment(pg::Bytes segment, const ShadowNames& names) {
  ShadowRequest request;
  std::string_view parsed_name, parsed_content;
  bool has_parse = false, is_bound = false, is_executed = false;
  pg::Header header;
  while (pg::read_header(segment, UINT32_MAX, header) == pg::Framing::complete && segment.size() >= header.total()) {
    pg::Reader body(segment.subspan(pg::header_bytes, header.body));
    segment = segment.subspan(header.total());
    if (header.type == 'Q') {
      const auto sql = body.cstring();
      if (!sql || has_parse || is_bound) return std::nullopt;
      request.sql = *sql;
      return request;
    }
    if (header.type == 'S') {
      if (!is_executed) return std::nullopt;
      return request;
    }
    if (header.type == 'P') {
      const auto name = body.cstring();
      if (!name || has_parse || is_bound) return std::nullopt;
      has_parse = true;
      parsed_name = *name;
      parsed_content = pg::text(body.rest());
    } else if (header.type == 'B') {
      const auto portal = body.cstring();
      const auto name = body.cstring();
      if (!portal || !name || is_bound) return std::nullopt;
      is_bound = true;
      request.bind = pg::text(body.rest());
      if (has_parse && *name == parsed_name) {
        if (!name->empty()) request.statement = names.intern(parsed_content);
        if (name->empty()) request.parse = parsed_content;
        request.is_parsed_anew = true;
      } else if (name->empty()) {
        request.parse = names.unnamed;
      } else {
        request.statement = names.statement(*name);
      }
      if (request.is_simple()) return std::nullopt;
    } else if (header.type == 'E') {
      const auto portal = body.cstring();
      const auto rows_max = body.u32();
      if (!portal || !rows_max || *rows_max != 0 || !is_bound || is_executed) return std::nullopt;
      is_executed = true;
    } else if (header.type == 'D') {
      request.describes = true;
    } else if (header.type != 'C') {
      return std::nullopt;
    }
  }
  return std::nullopt;
}

std::optional<ShadowRequest> explain_request(const ShadowRequest& request) {
  ShadowRequest asked = request;
  asked.describes = false;
  if (request.is_simple()) {
    asked.sql = std::string(explain) + request.sql;
    return asked;
  }
  const auto parts = take_apart(request.bind);
  if (!parts) return std::nullopt;
  asked.bind.resize(parts->columns_at);
  pg::Writer(asked.bind).u16(0);  // the plan's one column comes as text
  asked.parse = std::string(explain) + (request.statement ? request.statement->content : request.parse);
  asked.statement.reset();
  return asked;
}

bool may_cross(const ShadowRequest& request, const pg::OidTable& to_server) {
  if (request.is_simple()) return true;
  const auto parts = take_apart(request.bind);
  if (!parts) return false;
  const std::vector<pg::Oid> types = declared_types(request.statement ? request.statement->content : request.parse);
  for (std::size_t i = 0; i < parts->has_bytes.size(); ++i) {
    const bool is_binary = parts->binary.size() == 1 ? parts->binary[0] : i < parts->binary.size() && parts->binary[i];
    if (!is_binary || !parts->has_bytes[i]) continue;
    const bool is_declared = i < types.size() && types[i] != 0;
    if (!is_declared || to_server.shape(types[i]) != nullptr) return false;
  }
  return true;
}

ShadowSent put_request(std::string& out, const ShadowRequest& request, ServerConnection& connection,
                       const pg::OidTable* to_server, std::uint32_t keep_max, bool wants_description) {
  ShadowSent sent;
  static const Parameters none;
  const Parameters& wanted = request.parameters ? *request.parameters : none;
  if (connection.parameters != wanted) {
    for (const std::string& sql : {Parameters::encoding_difference(connection.parameters, wanted),
                                   Parameters::difference(connection.parameters, wanted)}) {
      if (sql.empty()) continue;
      pg::put_query(out, sql);
      ++sent.answers_before;
      sent.is_as_usual = false;
    }
    connection.parameters = wanted;
  }
  if (request.is_simple()) {
    pg::put_query(out, request.sql);
    return sent;
  }
  std::string name;
  if (request.statement) {
    const std::uint32_t number = request.statement->number, generation = connection.statement_generation();
    name = server_side_name(number, generation);
    if (!connection.has_statement(number)) {
      if (const std::uint32_t old = connection.statement_to_close(keep_max); old != 0) {
        pg::put_close_statement(out, server_side_name(old, generation));
        connection.drop_statement(old);
      }
      put_parse(out, name, request.statement->content, to_server);
      connection.add_statement(number);
      sent.prepares = true;
      sent.is_as_usual = false;
    }
  } else {
    put_parse(out, name, request.parse, to_server);
    sent.is_as_usual = sent.is_as_usual && request.is_parsed_anew;
  }
  pg::Writer(out).begin('B').cstring("").cstring(name).raw(request.bind).end();
  if (request.describes || wants_description) pg::Writer(out).begin('D').u8('P').cstring("").end();
  pg::Writer(out).begin('E').cstring("").u32(0).end();
  pg::put_empty_message(out, 'S');
  return sent;
}

}  // namespace turnout::proxy
