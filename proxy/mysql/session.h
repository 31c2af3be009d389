// One MySQL client after its login: what it has set up, the command it has sent, and the server connection it borrows.
// What it shares with clients of the other protocol is in proxy/client.h.
//
//   client packets → track → command begins? route: lease, wait or hold → forward → exchange
//   server packets → exchange: forward (translated) or swallow → client → safe point? the lease ends
//
// Always true:
//  - the next command goes to the server when the one before it has been answered: clients of this protocol wait for
//    their answers, and those that do not lose nothing but the overlap;
//  - what is set again on another server connection is what the server itself has told (session state changes): the
//    default database, system variables, and prepared statements. Everything else that a text may have set up keeps the
//    session where it is, for a reason that is shown (pins);
//  - what the statement before left behind (warnings, ROW_COUNT()) is asked of the connection that ran it, or refused;
//    it is never another session's (left_behind.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "protocol/mysql/kill.h"
#include "protocol/mysql/state_words.h"
#include "protocol/mysql/translation.h"
#include "proxy/client_path.h"
#include "proxy/mysql/kill_ticket.h"
#include "proxy/mysql/left_behind.h"
#include "proxy/mysql/server_connection.h"
#include "proxy/mysql/variables.h"
#include "proxy/shadow_read.h"
#include "router/mysql_answer.h"

namespace turnout::proxy::mysql {

struct ShadowRequest;

// What a login hands over.
struct SessionStart {
  Transport transport;
  std::string address;
  std::uint32_t number = 0;
  protocol::mysql::Capabilities capabilities = 0;  // agreed on
  std::uint16_t status = 0;                        // as the client was told
  std::uint8_t refused_changes = 0;                // of user, on this socket
  std::string nonce;                               // of the greeting, for clients that cannot be sent another one
};

class Session final : public Client {
 public:
  Session(Shard& shard, Account& account, SessionStart start);
  ~Session() override;

  void on_events(std::uint32_t events) override;
  [[nodiscard]] ClientInfo info() const override;

  // ---- from the pool
  void served(Connection& connection) override;
  void wait_failed(const LoginFailure& failure) override;
  void read_elsewhere() override;

  // ---- from the server connection it holds
  std::size_t on_server_bytes(ServerConnection& connection, protocol::mysql::Bytes data);
  void after_server_bytes(ServerConnection& connection);
  void server_took_everything() override;
  void server_lost(Connection& connection, const std::string& why) override;

  // ---- from another session, and back to the one that asked
  void killed(const std::string& user, bool is_query_only, std::shared_ptr<KillTicket> ticket);
  void kill_answered(KillOutcome outcome, std::uint64_t connection);

  // ---- from the shard
  void table_changed() override;

 private:
  using Bytes = protocol::mysql::Bytes;
  using Command = protocol::mysql::Command;
  using Header = protocol::mysql::Header;
  using Received = protocol::mysql::Exchange::Received;
  enum class Begin { ready, stop };
  enum class Take { done, incomplete, stop };

  // Of the client, under a number of ours.
  struct Prepared {
    std::string key;     // what it was prepared under, and the text: what connections know it by
    std::size_t sql_at;  // where in it the text begins
    std::uint16_t parameters = 0;
    protocol::mysql::StateWords words;
    std::string types;                                 // of the parameters, as last bound
    const router::Catalog* verdict_catalog = nullptr;  // what the verdict and the shape were found with
    router::Verdict verdict = router::Verdict::write;
    std::uint64_t shape = 0;
  };
  // What our own command on a lease is for.
  enum class Own : std::uint32_t { none, restore, prepare, ask_status, track, charsets, rewind, signal };

  // what every protocol's clients are asked: client.h
  void run_input() override;
  void client_took_everything() override;
  [[nodiscard]] bool in_transaction() const override;
  [[nodiscard]] bool is_quiet() const override;
  void put_fatal(std::string& out, const char* reason, std::string_view sqlstate,
                 std::string_view message) const override;
  void leave_server() override;
  void left() override {}

  // client → server: session_client.cpp
  void on_client_readable(bool is_ending);
  std::size_t process(Bytes data);
  [[nodiscard]] bool must_wait() const;  // for the answer to what was sent before
  // Of a command that needs no server: how many bytes it used up; 0: it needs one, or is not all here.
  std::size_t take_without_server(const Header& header, Bytes rest, Command command);
  Take take_command(const Header& header, Bytes packet, Command command);
  Take take_query(const Header& header, Bytes packet);
  Take take_prepare(const Header& header, Bytes packet);
  Take take_about_statement(const Header& header, Bytes packet, Command command);
  Take take_execute(const Header& header, Bytes packet, Prepared& prepared, ServerConnection::Known& known);
  void take_close(std::uint32_t number);
  [[nodiscard]] std::uint32_t client_statement(Bytes payload) const;  // the number that its command is about
  [[nodiscard]] std::string_view heed(const protocol::mysql::StateWords& words);  // why it is refused; "" = it is not
  void announce(const Header& header, std::size_t available, const protocol::mysql::Exchange::Entry& entry);
  void forward(const Header& header, Bytes packet, Command command, bool calls = false);
  void begin_message(const Header& header, std::size_t available, bool discards);
  void heed_waits(const protocol::mysql::StateWords& words);
  void put_before(const LeftBehind::Before& before);
  void track_again();
  // Of the command that begins `input`: an error instead of its answer. It is used up, or discarded as it comes.
  std::size_t refuse(const Header& header, Bytes rest, std::string_view sqlstate, std::string_view message,
                     std::string_view raw_error = {});
  void settle_refused();  // gives back a lease on which nothing was sent

  // KILL and COM_PROCESS_KILL: session_kill.cpp
  [[nodiscard]] std::optional<protocol::mysql::Kill> prepared_kill(Bytes payload);
  [[nodiscard]] std::size_t take_kill(const Header& header, const protocol::mysql::Kill& kill);
  std::size_t kill_self(const Header& header, const protocol::mysql::Kill& kill);
  void interrupt(std::shared_ptr<KillTicket> ticket);
  void refuse_unit(const LoginFailure& failure);  // what it waits or is held with: an error instead
  void kill_statement(const CancelTicket& ticket);

  // COM_CHANGE_USER: session_user.cpp
  void begin_change_of_user(const Header& header, Bytes rest);
  void change_user(const Header& header, Bytes payload);
  void cleaned_for_change();
  void send_to_server();
  void protocol_violation(const std::string& what);

  // units of work and leases: session_unit.cpp
  Begin begin_unit(Bytes rest);
  [[nodiscard]] protocol::mysql::StateWords words_of(const Header& header, Bytes packet) const;
  [[nodiscard]] bool looks_back(Bytes rest);  // the command asks for what the one before it has left on its connection
  void attach(ServerConnection& connection);
  void restore_state(ServerConnection& connection);
  void detach();
  void unit_done(ServerConnection& connection);
  [[nodiscard]] bool keeps_lease() const;
  void prepare_here(const Prepared& prepared);
  [[nodiscard]] std::string key_of(std::string_view sql) const;
  // A transaction in which nothing has happened is ended, and begun anew on whoever is the writer after the hold.
  [[nodiscard]] bool can_rewind() const;
  void rewind();
  void forget_everything();  // the client's COM_RESET_CONNECTION was answered
  void pin(Pin reason) { pins_ |= reason; }

  // reads that move: session_reads.cpp
  [[nodiscard]] router::Unit describe_unit(Bytes rest);
  [[nodiscard]] bool has_movable_state() const;
  [[nodiscard]] router::Verdict command_verdict(Bytes rest);
  [[nodiscard]] router::Verdict text_verdict(std::string_view sql);
  [[nodiscard]] router::Verdict statement_verdict(Prepared& prepared);
  void begin_detour();
  [[nodiscard]] bool hides_error(const protocol::mysql::Error& error);

  // a share of the reads, run on the other side as well: session_shadow.cpp
  void begin_shadow(const router::Unit& unit, const router::Route& route, Bytes rest);
  [[nodiscard]] std::unique_ptr<ShadowRequest> read_command(Bytes rest) const;
  void attach_shadow(const ServerConnection& connection);
  void feed_shadow(const Received& received, const Header& header, Bytes payload);
  void feed_shadow_more(Bytes payload);
  void feed_shadow_rows(Bytes packets);
  void time_shadow();
  void end_shadow();

  // server → client: session_server.cpp
  void on_own(ServerConnection& connection, const Received& received, Bytes payload);
  void note_end_of_transaction(std::uint16_t status);
  void on_answer(ServerConnection& connection, const Received& received);
  void note_changes(ServerConnection& connection, std::string_view told);
  void take_prepared(ServerConnection& connection, const Received& received, Bytes payload, std::string& out);
  void command_done(ServerConnection& connection, const Received& received);
  [[nodiscard]] bool is_at_safe_point() const;
  [[nodiscard]] bool input_waits_for_nothing() const;

  ServerConnection* server_ = nullptr;
  const protocol::mysql::Capabilities capabilities_;
  std::uint16_t status_;  // what the client was last told
  protocol::mysql::PacketTrack track_;
  protocol::mysql::Translation translation_;
  bool discard_body_ = false;   // body_left_ is of a command that was refused
  bool answer_begun_ = false;   // the first packet of the answer that is under way has gone to the client
  bool is_resetting_ = false;   // the command is a COM_RESET_CONNECTION
  std::uint8_t tracking_ = 0;   // the command sets what it wants to hear of its session: bits of Tracking
  bool collates_ = false;       // the command may set a collation
  bool is_plain_set_ = false;   // the command is nothing but SET and USE, or COM_INIT_DB
  bool waits_ = false;          // the command is as StateWords::waits has it
  bool awaits_number_ = false;  // of a statement that is being prepared again: its command waits
  bool is_table_locked_ = false, has_characteristics_ = false;  // as the server told: pins while they last
  bool begin_only_ = false;      // as the server told: nothing has happened in its transaction but the beginning
  bool is_served_ = false;       // the command that waited for a connection goes first, together with what it needs set
  bool must_begin_ = false;      // the client is in a transaction that no server knows of
  std::uint64_t body_left_ = 0;  // of a client's packet that is being streamed
  std::uint64_t last_connection_ = 0;  // the one that ran the last statement
  LeftBehind left_behind_;
  std::optional<protocol::mysql::StateWords> words_;      // of the text that has begun a unit, until it is sent
  std::optional<protocol::mysql::WantedChanges> wanted_;  // of changes to its session; nothing: not known yet
  std::uint32_t next_statement_ = 0;
  std::uint32_t last_statement_ = 0;  // what a client means by my::last_prepared; 0: none
  bool detour_ = false;               // what is still said there is swallowed; then it runs again on the writer
  bool asks_back_ = false;            // it has asked what a statement left on its connection, and may ask again
  std::string replay_;                // the ramped unit, when it has been sent
  std::unique_ptr<ShadowCopy<router::MysqlAnswerReader>> shadow_;  // while the other side gets the unit as well
  bool awaits_kill_ = false;       // it has asked for one, of which another worker will tell
  bool is_changing_user_ = false;  // its connection is being cleaned, then the login of the other user begins
  const std::uint8_t refused_changes_;
  const std::string nonce_;  // of its greeting, if that has to be used again
  std::string database_;
  Variables variables_;
  std::unordered_map<std::uint32_t, Prepared> prepared_;  // by the client's number
  std::unique_ptr<Prepared> preparing_;                   // the client's COM_STMT_PREPARE that is under way
  std::string prepared_key_;                              // ours
  std::string own_error_;                                 // the server's, to that
  std::string wanted_database_;                           // of the COM_INIT_DB that is under way
};

}  // namespace turnout::proxy::mysql
