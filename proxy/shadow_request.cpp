#include "proxy/shadow_request.h"

#include <utility>
#include <vector>

#include "proxy/server_connection.h"

namespace turnout::proxy {

namespace pg = protocol::pg;

namespace {

constexpr std::string_view explain = "EXPLAIN ";

// Where the formats of the columns begin in a Bind's body behind the names. Nothing: malformed.
std::optional<std::size_t> columns_of(std::string_view bind) {
  std::size_t at = 0;
  if (!pg::read_formats(pg::bytes_of(bind), at)) return std::nullopt;
  pg::Reader reader(pg::bytes_of(bind).subspan(at));
  const auto values = reader.u16();
  if (!values) return std::nullopt;
  for (std::uint32_t i = 0; i < *values; ++i) {
    const auto length = reader.u32();
    if (!length || (*length != UINT32_MAX && !reader.take(*length))) return std::nullopt;
  }
  return bind.size() - reader.rest().size();
}

std::string name_on(const ServerConnection& connection, const ShadowRequest& request) {
  if (!request.statement) return {};
  return server_side_name(request.statement->number, connection.statement_generation());
}

DescribedPtr described_on(const ServerConnection& connection, const ShadowRequest& request) {
  TypeLens& lens = *connection.lens;
  return request.statement ? lens.statement(request.statement->number, request.statement->content) : lens.unnamed();
}

void put_parse(std::string& out, const ServerConnection& connection, const ShadowRequest& request) {
  const std::string_view content = request.statement ? request.statement->content : request.parse;
  pg::Writer message(out);
  message.begin('P').cstring(name_on(connection, request));
  if (!connection.lens) {
    message.raw(content).end();
    return;
  }
  connection.lens->put_content(out, content);
  if (!request.statement) connection.lens->unnamed_parsed(content);
  message.end();
}

void put_description(std::string& out, char of, std::string_view name) {
  pg::Writer(out).begin('D').u8(static_cast<std::uint8_t>(of)).cstring(name).end();
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
  const auto columns_at = columns_of(request.bind);
  if (!columns_at) return std::nullopt;
  asked.bind.resize(*columns_at);
  pg::Writer(asked.bind).u16(0);  // the plan's one column comes as text
  asked.parse = std::string(explain) + (request.statement ? request.statement->content : request.parse);
  asked.statement.reset();
  return asked;
}

ShadowSent put_request(std::string& out, const ShadowRequest& request, ServerConnection& connection,
                       std::uint32_t keep_max, bool wants_description) {
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
  TypeLens* const lens = connection.lens.get();
  if (request.is_simple()) {
    const pg::CatalogUse use = lens != nullptr ? pg::catalog_use(request.sql) : pg::CatalogUse::none;
    const auto text = lens != nullptr ? lens->text_for_server(request.sql, use) : std::nullopt;
    pg::put_query(out, text ? *text : request.sql);
    if (lens != nullptr) sent.description = sent.rows = lens->query(use);
    return sent;
  }
  if (!request.statement) {
    put_parse(out, connection, request);
    sent.is_as_usual = sent.is_as_usual && request.is_parsed_anew;
  } else if (!connection.has_statement(request.statement->number)) {
    if (const std::uint32_t old = connection.statement_to_close(keep_max); old != 0) {
      pg::put_close_statement(out, server_side_name(old, connection.statement_generation()));
      connection.drop_statement(old);
    }
    put_parse(out, connection, request);
    connection.add_statement(request.statement->number);
    sent.prepares = true;
    sent.is_as_usual = false;
  }
  const DescribedPtr known = lens != nullptr ? described_on(connection, request) : nullptr;
  const pg::Bytes bind = pg::bytes_of(request.bind);
  if (known && TypeLens::bind_readiness(*known, bind, true, bind.size()) == TypeLens::Readiness::needs_description) {
    put_description(out, 'S', name_on(connection, request));
    pg::put_empty_message(out, 'S');
    sent.description = lens->describe_statement(known);
    sent.awaits_types = true;
    sent.is_as_usual = false;
    return sent;
  }
  put_execution(out, request, connection, wants_description, sent);
  return sent;
}

void put_execution(std::string& out, const ShadowRequest& request, ServerConnection& connection, bool wants_description,
                   ShadowSent& sent) {
  TypeLens* const lens = connection.lens.get();
  const std::size_t bind_at = out.size();
  pg::Writer bind(out);
  bind.begin('B').cstring("").cstring(name_on(connection, request));
  if (lens != nullptr)
    lens->bind(out, bind_at, "", described_on(connection, request), pg::bytes_of(request.bind), true);
  else
    bind.raw(request.bind);
  bind.end();
  const auto describe = [&] {
    put_description(out, 'P', "");
    if (lens != nullptr) sent.description = lens->describe_portal("");
  };
  if (request.describes || wants_description) describe();
  if (lens != nullptr) {
    TypeLens::Run run = lens->execute("");
    if (run.needs_description) {
      describe();
      run = lens->execute("");
    }
    sent.rows = run.ticket;
  }
  pg::Writer(out).begin('E').cstring("").u32(0).end();
  pg::put_empty_message(out, 'S');
  sent.awaits_types = false;
}

}  // namespace turnout::proxy
