// `users: passthrough`: whether a client's password is right, its server says. One a deployment and worker; each trial
// is a login of its own to the writer, as that user, into the database that the client wants.
//
// Always true: nothing is made of a name before a server has accepted it: no account, no pool, no memory but of the
// client that waits. Clients that come with the same password at the same time share a trial. Turns are limited
// (login_turns.h). A trial that a server has begun to answer is brought to its end, whether its client is still there
// or not. A writer that is down or changing hands is asked again, as long as the clients' logins may take. What is over
// is known from what the server has said, in its words; when nothing can be asked nobody is let in.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/event_loop.h"
#include "proxy/mysql/server_dial.h"
#include "proxy/pool.h"

namespace turnout::proxy::mysql {

class Greeting;

class PasswordTrials {
 public:
  struct Wanted {
    std::string user, database;
    std::uint64_t dialect = 0;
    protocol::SecretBytes password;
    std::string client_host;
    [[nodiscard]] bool is_same(const Wanted& other) const {
      return user == other.user && database == other.database && dialect == other.dialect && password == other.password;
    }
  };

  explicit PasswordTrials(Shard& shard) : shard_(shard) {}
  ~PasswordTrials();
  PasswordTrials(const PasswordTrials&) = delete;
  PasswordTrials& operator=(const PasswordTrials&) = delete;

  void ask(Greeting& greeting, Wanted wanted);  // it hears password_proven() or password_refused(), perhaps at once
  void forget(const Greeting& greeting);
  // Why it has been waiting, in words for a stranger; with the server's own, if it has said any.
  [[nodiscard]] LoginFailure reason(const Greeting& greeting) const;
  void tick();  // deadlines, retries, a writer that has moved, turns that others have given back

 private:
  class Trial final : public Handler {
   public:
    Trial(PasswordTrials& all, Wanted wanted) : wanted_(std::move(wanted)), all_(all) {}
    void on_events(std::uint32_t events) override;

    Wanted wanted_;
    std::vector<Greeting*> greetings_;  // whoever went away is missing here
    std::unique_ptr<ServerDial> dial_;  // while it has a turn
    std::uint64_t began_ms_ = 0, retry_at_ms_ = 0;
    LoginFailure last_failure_;

   private:
    PasswordTrials& all_;
  };

  [[nodiscard]] bool is_proven(const Wanted& wanted) const;
  void begin_if_may(Trial& trial);
  void begin(Trial& trial);
  void look_at(Trial& trial);
  void proven(Trial& trial);
  void failed(Trial& trial, const LoginFailure& failure);
  void give_back_turn(Trial& trial, bool was_refused);
  void interrupt(Trial& trial, const LoginFailure& failure);
  void end(Trial& trial, const LoginFailure* failure);
  void use(Trial& trial);

  Shard& shard_;
  std::list<std::unique_ptr<Trial>> trials_;  // oldest first
  std::uint64_t told_ms_ = 0;                 // when the log last heard of trouble
};

}  // namespace turnout::proxy::mysql
