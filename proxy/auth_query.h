// Asks the writer what clients must prove to know: `users: { query: … }` and `users: passthrough`. One a deployment and
// worker, with one connection of its own that is opened at the first question.
//
// Always true: no client's word becomes SQL (the name is a parameter); the connection is nobody else's, reads only, and
// looks names up in pg_catalog alone, whatever the role's own settings are; an answer that is not exactly one row for
// exactly that name is "unknown"; when nothing can be asked, nobody is let in, and nobody is told that a name is
// unknown.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "protocol/pg/login.h"
#include "proxy/event_loop.h"
#include "proxy/server_dial.h"
#include "proxy/transport.h"

namespace turnout::proxy {

class Greeting;
class Shard;

class AuthQuery final : public Handler {
 public:
  explicit AuthQuery(Shard& shard);
  ~AuthQuery() override;

  void ask(Greeting& greeting);  // it hears secret_known() or secret_unavailable(), later
  void forget(const Greeting& greeting);
  void tick();              // deadlines, retries, a writer that has moved
  void settings_changed();  // another role or query: the connection is not of use any more
  void on_events(std::uint32_t events) override;

 private:
  struct Question {
    std::string user;
    std::vector<Greeting*> greetings;  // whoever went away is missing here
    std::uint64_t asked_ms = 0;        // 0: not sent yet
  };
  struct Answer {
    std::optional<protocol::pg::Secret> secret;
    std::uint32_t rows = 0;
    bool is_usable = true;
  };

  void open();
  void opened();
  void disconnect();
  void fail_all(const char* reason);
  void send_questions();
  void send(std::string_view bytes);
  void on_readable();
  void on_message(char type, protocol::pg::Bytes body);
  void on_row(protocol::pg::Bytes body);
  void answer();

  Shard& shard_;
  std::unique_ptr<ServerDial> dial_;
  Transport transport_;  // open: logged in
  router::Side side_ = router::Side::blue;
  std::string input_, output_;
  std::deque<Question> questions_;  // the first ones are sent, in this order
  std::size_t sent_ = 0;
  Answer answer_;  // to the first of them, as far as it is here
  std::uint64_t began_ms_ = 0;
  std::uint64_t retry_at_ms_ = 0;
};

}  // namespace turnout::proxy
