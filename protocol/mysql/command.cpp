#include "protocol/mysql/command.h"

#include "protocol/mysql/result.h"

namespace turnout::protocol::mysql {
namespace {

constexpr std::uint8_t parameter_count_available = 8;
constexpr std::size_t parameters_max = 65535;  // the protocol's own limit

bool has_attributes(Capabilities capabilities) {
  return (capabilities & capability::query_attributes) != 0;
}

struct Types {
  std::string_view all;
  std::string types;  // one byte a parameter
};

std::optional<Types> take_types(Reader& reader, std::uint64_t count, bool has_names) {
  const Bytes before = reader.rest();
  Types types;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto type = reader.u16();
    if (!type || (has_names && !reader.counted())) return std::nullopt;
    types.types += static_cast<char>(*type & 0xffU);
  }
  types.all = text(before.first(before.size() - reader.rest().size()));
  return types;
}

}  // namespace

std::optional<Command> command_of(std::uint8_t first) {
  const auto command = static_cast<Command>(first);
  switch (command) {
    case Command::quit:
    case Command::init_db:
    case Command::query:
    case Command::field_list:
    case Command::refresh:
    case Command::shutdown:
    case Command::statistics:
    case Command::process_info:
    case Command::process_kill:
    case Command::debug:
    case Command::ping:
    case Command::change_user:
    case Command::statement_prepare:
    case Command::statement_execute:
    case Command::statement_send_long_data:
    case Command::statement_close:
    case Command::statement_reset:
    case Command::set_option:
    case Command::statement_fetch:
    case Command::reset_connection:
    case Command::statement_bulk_execute:
      return command;
  }
  return std::nullopt;
}

AnswerForm answer_form(Command command) {
  switch (command) {
    case Command::quit:
    case Command::statement_send_long_data:
    case Command::statement_close:
      return AnswerForm::none;
    case Command::init_db:
    case Command::refresh:
    case Command::shutdown:
    case Command::process_kill:
    case Command::debug:
    case Command::ping:
    case Command::statement_reset:
    case Command::set_option:
    case Command::reset_connection:
      return AnswerForm::simple;
    case Command::statistics:
      return AnswerForm::line;
    case Command::query:
    case Command::process_info:
    case Command::statement_execute:
    case Command::statement_bulk_execute:
      return AnswerForm::results;
    case Command::statement_prepare:
      return AnswerForm::preparation;
    case Command::statement_fetch:
      return AnswerForm::rows;
    case Command::field_list:
      return AnswerForm::definitions;
    case Command::change_user:
      return AnswerForm::login;
  }
  return AnswerForm::simple;
}

bool is_about_statement(Command command) {
  switch (command) {
    case Command::statement_execute:
    case Command::statement_send_long_data:
    case Command::statement_close:
    case Command::statement_reset:
    case Command::statement_fetch:
    case Command::statement_bulk_execute:
      return true;
    case Command::quit:
    case Command::init_db:
    case Command::query:
    case Command::field_list:
    case Command::refresh:
    case Command::shutdown:
    case Command::statistics:
    case Command::process_info:
    case Command::process_kill:
    case Command::debug:
    case Command::ping:
    case Command::change_user:
    case Command::statement_prepare:
    case Command::set_option:
    case Command::reset_connection:
      break;
  }
  return false;
}

std::optional<std::uint32_t> statement_of(Bytes payload) {
  return payload.size() < 5 ? std::nullopt : std::optional(load_u32(payload.data() + 1));
}

void set_statement(std::uint8_t* payload, std::uint32_t statement) {
  for (std::size_t i = 0; i < 4; ++i) payload[1 + i] = static_cast<std::uint8_t>(statement >> (8 * i));
}

std::optional<Query> parse_query(Bytes payload, Capabilities capabilities) {
  Reader reader(payload);
  if (reader.u8() != static_cast<std::uint8_t>(Command::query)) return std::nullopt;
  Query query;
  if (has_attributes(capabilities)) {
    const auto count = reader.length();
    const auto sets = reader.length();
    if (!count || !sets || *sets != 1 || *count > parameters_max) return std::nullopt;
    query.attributes = *count;
    if (*count > 0) {
      const auto nulls = reader.take((*count + 7) / 8);
      const auto has_types = reader.u8();
      if (!nulls || has_types != 1) return std::nullopt;
      const auto types = take_types(reader, *count, true);
      if (!types) return std::nullopt;
      for (std::size_t i = 0; i < types->types.size(); ++i) {
        const unsigned byte = (*nulls)[i / 8];
        const bool is_null = (byte >> (i % 8) & 1U) != 0;
        if (!is_null && !skip_value(reader, static_cast<std::uint8_t>(types->types[i]))) return std::nullopt;
      }
    }
  }
  query.sql = text(reader.rest());
  query.sql_at = payload.size() - query.sql.size();
  return query;
}

std::optional<Execute> parse_execute(Bytes payload, std::uint16_t statement_parameters, Capabilities capabilities) {
  Reader reader(payload);
  const auto command = reader.u8();
  const auto statement = reader.u32();
  const auto flags = reader.u8();
  const auto iterations = reader.u32();
  if (command != static_cast<std::uint8_t>(Command::statement_execute) || !statement || !flags || !iterations)
    return std::nullopt;
  Execute execute;
  execute.statement = *statement;
  execute.flags = *flags;
  execute.parameters = statement_parameters;
  if (has_attributes(capabilities) && (*flags & parameter_count_available) != 0) {
    const auto count = reader.length();
    if (!count || *count > parameters_max) return std::nullopt;
    execute.parameters = *count;
  }
  if (execute.parameters > 0) {
    if (!reader.take((execute.parameters + 7) / 8)) return std::nullopt;
    execute.flag_at = payload.size() - reader.rest().size();
    const auto has_types = reader.u8();
    if (!has_types || *has_types > 1) return std::nullopt;
    execute.has_types = *has_types == 1;
    if (execute.has_types) {
      const auto types = take_types(reader, execute.parameters, has_attributes(capabilities));
      if (!types) return std::nullopt;
      execute.types = types->all;
    }
  }
  execute.values_at = payload.size() - reader.rest().size();
  return execute;
}

std::string with_types(std::string_view payload, const Execute& execute, std::string_view types) {
  if (execute.flag_at == 0) return std::string(payload);
  std::string out(payload.substr(0, execute.flag_at));
  return out.append(1, '\1').append(types).append(payload.substr(execute.values_at));
}

std::optional<Fetch> parse_fetch(Bytes payload) {
  Reader reader(payload);
  const auto command = reader.u8();
  const auto statement = reader.u32();
  const auto rows = reader.u32();
  if (command != static_cast<std::uint8_t>(Command::statement_fetch) || !statement || !rows) return std::nullopt;
  return Fetch{*statement, *rows};
}

std::optional<LongData> parse_long_data(Bytes payload) {
  Reader reader(payload);
  const auto command = reader.u8();
  const auto statement = reader.u32();
  const auto parameter = reader.u16();
  if (command != static_cast<std::uint8_t>(Command::statement_send_long_data) || !statement || !parameter)
    return std::nullopt;
  return LongData{*statement, *parameter};
}

std::optional<std::uint32_t> parse_process_kill(Bytes payload) {
  Reader reader(payload);
  if (reader.u8() != static_cast<std::uint8_t>(Command::process_kill)) return std::nullopt;
  return reader.u32();
}

std::optional<std::uint16_t> parse_set_option(Bytes payload) {
  Reader reader(payload);
  if (reader.u8() != static_cast<std::uint8_t>(Command::set_option)) return std::nullopt;
  return reader.u16();
}

std::optional<std::string_view> parse_field_list(Bytes payload) {
  Reader reader(payload);
  if (reader.u8() != static_cast<std::uint8_t>(Command::field_list)) return std::nullopt;
  return reader.cstring();
}

void put_query(std::string& payload, std::string_view sql, Capabilities capabilities) {
  Writer writer(payload);
  writer.u8(static_cast<std::uint8_t>(Command::query));
  if (has_attributes(capabilities)) writer.length(0).length(1);
  writer.raw(sql);
}

void put_command(std::string& payload, Command command, std::string_view argument) {
  Writer(payload).u8(static_cast<std::uint8_t>(command)).raw(argument);
}

void put_statement_command(std::string& payload, Command command, std::uint32_t statement) {
  Writer(payload).u8(static_cast<std::uint8_t>(command)).u32(statement);
}

void put_set_option(std::string& payload, std::uint16_t option) {
  Writer(payload).u8(static_cast<std::uint8_t>(Command::set_option)).u16(option);
}

void put_process_kill(std::string& payload, std::uint32_t connection) {
  Writer(payload).u8(static_cast<std::uint8_t>(Command::process_kill)).u32(connection);
}

}  // namespace turnout::protocol::mysql
