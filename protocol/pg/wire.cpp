#include "protocol/pg/wire.h"

#include <array>

namespace turnout::protocol::pg {

std::optional<Bytes> Reader::take(std::size_t count) {
  if (left_.size() < count) {
    left_ = {};
    return std::nullopt;
  }
  const Bytes taken = left_.first(count);
  left_ = left_.subspan(count);
  return taken;
}

std::optional<std::uint8_t> Reader::u8() {
  const auto bytes = take(1);
  return bytes ? std::optional((*bytes)[0]) : std::nullopt;
}

std::optional<std::uint16_t> Reader::u16() {
  const auto bytes = take(2);
  return bytes ? std::optional(load_u16(bytes->data())) : std::nullopt;
}

std::optional<std::uint32_t> Reader::u32() {
  const auto bytes = take(4);
  return bytes ? std::optional(load_u32(bytes->data())) : std::nullopt;
}

std::optional<std::string_view> Reader::cstring() {
  const std::string_view all = text(left_);
  const std::size_t zero = all.find('\0');
  if (zero == std::string_view::npos) {
    left_ = {};
    return std::nullopt;
  }
  left_ = left_.subspan(zero + 1);
  return all.substr(0, zero);
}

Writer& Writer::begin(char type) {
  start_ = out_.size();
  out_.push_back(type);
  out_.append(4, '\0');
  return *this;
}

Writer& Writer::u8(std::uint8_t value) {
  out_.push_back(static_cast<char>(value));
  return *this;
}

Writer& Writer::u16(std::uint16_t value) {
  return u8(static_cast<std::uint8_t>(value >> 8)).u8(static_cast<std::uint8_t>(value));
}

Writer& Writer::u32(std::uint32_t value) {
  std::array<char, 4> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(value >> (24 - 8 * i));
  out_.append(bytes.data(), bytes.size());
  return *this;
}

Writer& Writer::cstring(std::string_view value) {
  out_.append(value);
  out_.push_back('\0');
  return *this;
}

Writer& Writer::raw(std::string_view value) {
  out_.append(value);
  return *this;
}

void Writer::end() {
  const auto length = static_cast<std::uint32_t>(out_.size() - start_ - 1);
  for (std::size_t i = 0; i < 4; ++i) out_[start_ + 1 + i] = static_cast<char>(length >> (24 - 8 * i));
}

void put_error(std::string& out, const ErrorFields& fields) {
  Writer writer(out);
  writer.begin('E').u8('S').cstring(fields.severity).u8('V').cstring(fields.severity);
  writer.u8('C').cstring(fields.sqlstate).u8('M').cstring(fields.message);
  if (!fields.detail.empty()) writer.u8('D').cstring(fields.detail);
  if (!fields.hint.empty()) writer.u8('H').cstring(fields.hint);
  writer.u8(0).end();
}

void put_raw_error(std::string& out, std::string_view body) {
  Writer(out).begin('E').raw(body).end();
}

void put_ready_for_query(std::string& out, char status) {
  Writer(out).begin('Z').u8(static_cast<std::uint8_t>(status)).end();
}

void put_parameter_status(std::string& out, std::string_view name, std::string_view value) {
  Writer(out).begin('S').cstring(name).cstring(value).end();
}

void put_backend_key_data(std::string& out, std::uint32_t pid, std::string_view key) {
  Writer(out).begin('K').u32(pid).raw(key).end();
}

void put_command_complete(std::string& out, std::string_view tag) {
  Writer(out).begin('C').cstring(tag).end();
}

void put_empty_message(std::string& out, char type) {
  Writer(out).begin(type).end();
}

void put_query(std::string& out, std::string_view sql) {
  Writer(out).begin('Q').cstring(sql).end();
}

void put_close_statement(std::string& out, std::string_view name) {
  Writer(out).begin('C').u8('S').cstring(name).end();
}

void put_cancel_request(std::string& out, std::uint32_t pid, std::string_view key) {
  Writer(out).u32(static_cast<std::uint32_t>(12 + key.size())).u32(cancel_request_code).u32(pid).raw(key);
}

void put_negotiate_version(std::string& out, std::uint32_t version, const std::vector<std::string>& unknown) {
  Writer writer(out);
  writer.begin('v').u32(version).u32(static_cast<std::uint32_t>(unknown.size()));
  for (const std::string& option : unknown) writer.cstring(option);
  writer.end();
}

ErrorFields parse_error(Bytes body) {
  ErrorFields fields;
  fields.sqlstate.clear();
  Reader reader(body);
  while (const auto kind = reader.u8()) {
    if (*kind == 0) break;
    const auto value = reader.cstring();
    if (!value) break;
    switch (*kind) {
      case 'V':
        fields.severity = *value;
        break;
      case 'C':
        fields.sqlstate = *value;
        break;
      case 'M':
        fields.message = *value;
        break;
      case 'D':
        fields.detail = *value;
        break;
      case 'H':
        fields.hint = *value;
        break;
      default:
        break;
    }
  }
  return fields;
}

namespace {

void parse_startup_parameters(Bytes body, StartupPacket& packet) {
  Reader reader(body);
  while (true) {
    const auto key = reader.cstring();
    if (!key) break;
    if (key->empty()) {  // the terminator; anything behind it is not part of the packet's grammar
      packet.kind = reader.is_empty() ? StartupPacket::Kind::startup : StartupPacket::Kind::malformed;
      return;
    }
    const auto value = reader.cstring();
    if (!value) break;
    packet.parameters.emplace_back(*key, *value);
  }
  packet.kind = StartupPacket::Kind::malformed;
}

}  // namespace

StartupPacket parse_startup(Bytes data, std::uint32_t bytes_max) {
  StartupPacket packet;
  if (data.size() < 4) return packet;
  const std::uint32_t length = load_u32(data.data());
  if (length < 8 || length > bytes_max) {
    packet.kind = StartupPacket::Kind::malformed;
    return packet;
  }
  if (data.size() < length) return packet;
  packet.consumed = length;
  packet.version = load_u32(data.data() + 4);
  const Bytes body = data.subspan(8, length - 8);
  switch (packet.version) {
    case ssl_request_code:
      packet.kind = body.empty() ? StartupPacket::Kind::ssl_request : StartupPacket::Kind::malformed;
      return packet;
    case gss_request_code:
      packet.kind = body.empty() ? StartupPacket::Kind::gss_request : StartupPacket::Kind::malformed;
      return packet;
    case cancel_request_code:
      // 3.2 allows keys of up to 256 bytes.
      packet.kind =
          body.size() >= 8 && body.size() <= 260 ? StartupPacket::Kind::cancel : StartupPacket::Kind::malformed;
      if (packet.kind == StartupPacket::Kind::cancel) {
        packet.cancel_pid = load_u32(body.data());
        packet.cancel_key = text(body.subspan(4));
      }
      return packet;
    default:
      break;
  }
  if (packet.version >> 16 != 3) {
    packet.kind = StartupPacket::Kind::unsupported_version;
    return packet;
  }
  parse_startup_parameters(body, packet);
  return packet;
}

}  // namespace turnout::protocol::pg
