// A small HTTP/1.1 client for the control API, over TCP or a unix socket. Synchronous: every call has a deadline.
//
// One connection a request; the command line is short-lived. Throws Unreachable when there is no answer, and
// std::invalid_argument for an address that cannot be understood.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace turnout::control {

// Nobody answers there: exit code 7. After the request was `sent`, a change may have been made all the same.
class Unreachable : public std::runtime_error {
 public:
  explicit Unreachable(const std::string& text, bool sent = false) : std::runtime_error(text), sent_(sent) {}
  [[nodiscard]] bool sent() const { return sent_; }

 private:
  bool sent_;
};

struct ControlAddress {
  std::string host;
  std::string port;
  std::string unix_path;  // exactly one of it and (host, port)

  [[nodiscard]] std::string text() const;
};

// "http://127.0.0.1:6480", "127.0.0.1:6480", "[::1]:6480", "unix:/run/turnout/control.sock".
[[nodiscard]] ControlAddress control_address(std::string_view text);

struct ClientAnswer {
  int status = 0;
  int exit_code = 0;  // of the header Turnout-Exit-Code, else of the status
  std::string body;
};

struct StreamEvent {
  std::uint64_t id = 0;
  std::string type;
  std::string data;
};

// An open stream of server-sent events.
class EventReader {
 public:
  ~EventReader();
  EventReader(EventReader&&) noexcept;
  EventReader& operator=(EventReader&&) noexcept;

  // The next event; nothing when none came within wait_ms, or when the stream has ended: see is_open().
  [[nodiscard]] std::optional<StreamEvent> next(std::uint32_t wait_ms);
  [[nodiscard]] bool is_open() const;

 private:
  friend class HttpClient;
  struct Impl;
  explicit EventReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class HttpClient {
 public:
  // `token` "" = none; `user` goes into the audit as the caller's own word.
  HttpClient(ControlAddress address, std::string token, std::string user);

  [[nodiscard]] ClientAnswer get(const std::string& target, std::uint32_t ms_max) const;
  [[nodiscard]] ClientAnswer post(const std::string& target, const std::string& body, std::uint32_t ms_max) const;
  // Events after `after`; nothing = only those to come. Throws Unreachable also when the server refuses the stream.
  [[nodiscard]] EventReader events(std::optional<std::uint64_t> after, std::uint32_t ms_max) const;

  [[nodiscard]] const ControlAddress& address() const { return address_; }

 private:
  [[nodiscard]] ClientAnswer ask(bool change, const std::string& target, const std::string& body,
                                 std::uint32_t ms_max) const;

  ControlAddress address_;
  std::string token_, user_;
};

// Takes whole events out of the front of `text`: "id: 1\nevent: x\ndata: {}\n\n"; comments are skipped.
[[nodiscard]] std::optional<StreamEvent> take_event(std::string& text);

// For one path segment.
[[nodiscard]] std::string percent_encoded(std::string_view text);

}  // namespace turnout::control
