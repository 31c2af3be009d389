// One PostgreSQL client after its login: what it has set up, the unit of work it is in, and the server connection it
// borrows. What it shares with clients of the other protocol is in client.h.
//
//   client bytes → framer → unit begins? route (router/route.h): lease, wait or hold → forward → exchange → server
//   server bytes → exchange: forward, swallow or fabricate → client → safe point? the lease ends
//
// Always true:
//  - work is sent to a server only under a lease, and a lease ends only at a safe point (Exchange::is_safe_point), or
//    with the connection;
//  - bytes that were not sent yet stay in `input_`, in order; a held or waiting session has sent nothing of its unit,
//    so it can be decided anew, refused or forgotten;
//  - a session owns memory only for bytes that could not go on, and for what it has set up.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "protocol/pg/exchange.h"
#include "proxy/client_path.h"
#include "proxy/parameters.h"
#include "proxy/server_connection.h"
#include "proxy/shadow_read.h"
#include "proxy/statement.h"
#include "proxy/trail.h"
#include "router/shadow_answer.h"

namespace turnout::proxy {

struct LockTransfer;
struct Subscription;
enum class OwnQuery : std::uint32_t;
using NotificationPtr = std::shared_ptr<const std::string>;

// What a login hands over.
struct SessionStart {
  Transport transport;
  std::string address;
  std::uint32_t number = 0;  // BackendKeyData's pid
  std::uint32_t secret = 0;  // what BackendKeyData's key is made of: proxy/cancel_key.h
  bool has_long_key = false;
  Parameters parameters;  // the client's startup parameters
  std::string application;
};

class Session final : public Client {
 public:
  Session(Shard& shard, Account& account, SessionStart start);
  ~Session() override;

  void on_events(std::uint32_t events) override;

  [[nodiscard]] bool secret_matches(std::string_view key) const;
  [[nodiscard]] ClientInfo info() const override;
  void add_prepared_texts(std::set<Proxy::PreparedText>& texts) const override;

  // ---- from the pool
  void served(Connection& connection) override;
  void wait_failed(const LoginFailure& failure) override;
  void read_elsewhere() override;

  // ---- from the server connection it holds
  std::size_t on_server_bytes(ServerConnection& connection, protocol::pg::Bytes data);
  void after_server_bytes(ServerConnection& connection);
  void server_took_everything() override;
  void server_lost(Connection& connection, const std::string& why) override;

  // ---- from the hub of its channels: session_listen.cpp
  void channels_ready(std::uint32_t ticket);
  void channels_refused(std::uint32_t ticket);
  void notified(const NotificationPtr& message);
  void deliver_notifications();
  void listener_lost();
  void echoed(std::uint32_t echo);

  // ---- from the shard
  [[nodiscard]] bool continue_locks(std::uint64_t now_ms);  // session_locks.cpp
  void types_changed() override;
  void table_changed() override;
  void cancel(CancelTicket ticket);  // the client asked, through another connection

 private:
  // what every protocol's clients are asked: client.h
  void run_input() override;
  void client_took_everything() override;
  [[nodiscard]] bool in_transaction() const override { return client_status_ != 'I'; }
  [[nodiscard]] bool is_quiet() const override;
  void put_fatal(std::string& out, const char* reason, std::string_view sqlstate,
                 std::string_view message) const override;
  void leave_server() override;
  void left() override;

  struct Prepared {
    StatementPtr statement;
    router::Verdict verdict = router::Verdict::write;
    const void* verdict_catalog = nullptr;  // the catalog it was made for
    std::uint64_t shape = 0;                // of the text, with the verdict
    bool is_described = false;              // the client knows its columns
  };
  // What verdicts depend on among the session's parameters.
  struct ReadSettings {
    std::uint64_t version = UINT64_MAX;  // of the parameters
    bool is_serializable = false, is_read_only = false, has_standard_strings = true, is_ascii_safe = true;
    std::optional<std::string> search_path;  // a list of names; nothing: the server's default
  };
  // Of a unit that may have to run once more.
  enum class Record : std::uint8_t { off, ready, on, whole };
  enum class Begin { ready, stop, incomplete };
  enum class Take { done, incomplete, stop };

  // client → server: session_client.cpp
  void on_client_readable(bool is_ending);
  std::size_t process(protocol::pg::Bytes data);  // returns what was used up
  Take take_message(const protocol::pg::Header& header, protocol::pg::Bytes message);
  void take_streamed(const protocol::pg::Header& header, protocol::pg::Bytes available);
  Take take_query(protocol::pg::Bytes message, bool touches_nothing);
  Take take_parse(protocol::pg::Bytes message);
  Take take_bind(const protocol::pg::Header& header, protocol::pg::Bytes available);
  void take_execute(protocol::pg::Bytes message);
  void note_function_call(protocol::pg::Bytes available);
  Take take_describe_or_close(const protocol::pg::Header& header, protocol::pg::Bytes message);
  void forward(protocol::pg::Bytes message, protocol::pg::Request request, TypeLens::Ticket ticket = 0);
  void put_parse(std::string_view name, std::string_view content);
  void ensure_prepared(const StatementPtr& statement);
  void ensure_unnamed();
  [[nodiscard]] std::uint64_t unnamed_mark() const { return (std::uint64_t{number_} << 32U) | unnamed_version_; }
  void forget_unnamed();
  [[nodiscard]] bool is_deallocate_of_ours(const protocol::pg::Watch& watch) const;
  bool take_deallocate(const protocol::pg::Watch& watch);
  void prepare_gone(std::string_view name);
  bool take_deallocates(const protocol::pg::Watch& watch, std::string_view sql);
  void send_to_server();
  void answer_fabricated();
  [[nodiscard]] bool must_wait_at_boundary() const;
  // A message that needs no server: how many bytes it used up. nullopt: it begins a unit of work.
  std::optional<std::size_t> take_without_server(const protocol::pg::Header& header, protocol::pg::Bytes rest);
  // A segment that only prepares what a server has accepted before, or closes: answered without one, so that a client
  // that prepares synchronously never waits for connections which its own other sessions hold. 0: not such a segment.
  std::size_t take_prepare_segment(protocol::pg::Bytes rest);
  void protocol_violation(const std::string& what);
  [[nodiscard]] bool has_own_names() const;

  // numbers of types that differ between the sides: session_types.cpp
  [[nodiscard]] TypeLens* lens() const;  // null: nothing to do, or the server ignores what is sent now
  [[nodiscard]] DescribedPtr described(const Prepared* prepared);
  bool types_allow_bind(const protocol::pg::Header& header, const Prepared* prepared, protocol::pg::Bytes rest,
                        bool is_whole);
  void forward_query(protocol::pg::Bytes message, std::string_view sql);
  void forward_execute(protocol::pg::Bytes message);
  void look_through(ServerConnection& connection);
  void pass_body(ServerConnection& connection, protocol::pg::Bytes bytes, bool is_last, bool forwards);

  // units of work and leases: session_unit.cpp
  Begin begin_unit(protocol::pg::Bytes rest);
  router::Unit describe_unit(protocol::pg::Bytes rest, bool& incomplete);
  router::Verdict segment_verdict(protocol::pg::Bytes rest, bool& incomplete, std::size_t& length, bool& unblocks);
  [[nodiscard]] const ReadSettings& read_settings();
  router::Verdict text_verdict(std::string_view sql);
  router::Verdict statement_verdict(Prepared& prepared);
  // Of a text that may touch the session's state: a read only if it begins a transaction that can only read.
  router::Verdict begin_verdict(std::string_view sql, const protocol::pg::Watch& watch);
  router::Verdict parsed_verdict(std::string_view sql);
  // In a transaction on a read connection that holds nothing but its BEGIN. false: the rest of it is not here yet, or
  // the transaction is on its way to the writer.
  bool decide_first_read(protocol::pg::Bytes rest);
  void attach(ServerConnection& connection);
  void tell_side();
  void restore_state(ServerConnection& connection);
  void detach();
  // Of a unit that was never sent. refuse_unit is an error that Turnout makes, and is counted as one.
  void refuse_unit(std::string_view sqlstate, std::string_view message, std::string_view raw_error);
  void answer_unit(std::string_view sqlstate, std::string_view message, std::string_view raw_error);
  [[nodiscard]] bool may_rewind() const;
  void rollback_empty_transaction();
  void send_rollback();     // ours: the client hears nothing of it
  void note_begin_later();  // keeps the level of the same name true while a hold is on
  void begin_detour();
  void cancel_statement(CancelTicket ticket);
  [[nodiscard]] bool keeps_lease() const;
  [[nodiscard]] bool is_movable() const { return pins_ == 0; }

  // server → client: session_server.cpp
  void on_ready(ServerConnection& connection, const protocol::pg::Exchange::Entry& entry);
  void void_dropped(ServerConnection& connection);
  [[nodiscard]] std::string with_client_names(protocol::pg::Bytes error) const;
  void unit_done(ServerConnection& connection);

  // a share of the reads, run on the other side as well: session_shadow.cpp
  void begin_shadow(const router::Unit& unit, const router::Route& route, protocol::pg::Bytes segment);
  void attach_shadow(const ServerConnection& connection);
  void feed_shadow(protocol::pg::Bytes data);
  void time_shadow();
  void end_shadow();

  // statements that a server no longer takes: session_plan.cpp
  void record(const protocol::pg::Header& header, protocol::pg::Bytes message, std::size_t at, std::size_t& from);
  void keep_recorded(protocol::pg::Bytes bytes);
  void stop_recording();
  bool renew_plan(ServerConnection& connection, const protocol::pg::Exchange::Entry& entry, protocol::pg::Bytes error);
  bool was_told(char type);
  void note_told(char type);
  void put_fabricated(std::string& out, const protocol::pg::Exchange::Entry& entry);

  // what it has set up: session_state.cpp
  void note_effects(const protocol::pg::Watch& watch);  // of the query or execute that is sent next
  void note_portal(std::string_view portal, std::shared_ptr<const protocol::pg::Watch> watch);
  [[nodiscard]] bool is_reset_pending() const;
  void on_command_complete(ServerConnection& connection, const protocol::pg::Exchange::Entry& entry,
                           protocol::pg::Bytes tag);
  void apply_effect(const protocol::pg::Effect& effect, ServerConnection& connection, bool is_rollback);
  bool apply_setting(const protocol::pg::Effect& effect, ServerConnection& connection);
  void apply_transaction(const protocol::pg::Effect& effect, ServerConnection& connection, bool is_rollback);
  void set_parameter(ServerConnection& connection, const std::string& name, const std::string& sql_value);
  void reset_parameter(ServerConnection& connection, const std::string& name);
  void reset_parameters(ServerConnection& connection, bool with_roles);
  void undo(ServerConnection& connection, const KeptSettings* before);
  void settle(ServerConnection& connection, std::uint32_t id);  // a unit has been answered
  void believe_reports(ServerConnection& connection);
  bool note_report(ServerConnection& connection, std::string_view name, std::string_view value, bool is_ours);
  bool begin_restart(ServerConnection& connection);
  void put_reports(ServerConnection& connection, std::string& out);
  Trail& trail();
  // LISTEN: session_listen.cpp
  [[nodiscard]] Subscription& subscription();
  [[nodiscard]] bool is_at_safe_point() const;
  void send_own(OwnQuery query, std::string_view sql);
  void continue_take_over();
  void ask_channels();
  void send_mark();
  void send_unlisten();
  void settle_mark();
  void unpin_listen();
  void order_channels();
  void own_row(OwnQuery query, protocol::pg::Bytes body);
  void own_failed(OwnQuery query);
  void own_answered(OwnQuery query);
  bool listen_at_safe_point();
  void note_listen_effect(const protocol::pg::Effect& effect);
  void settle_unlistened(bool committed);
  template <typename IsOver>
  void drop_queued(IsOver is_over);
  void take_notification(ServerConnection& connection, protocol::pg::Bytes body, std::string& out);
  void end_deaf();
  [[nodiscard]] bool must_hold_ready(const ServerConnection& connection, protocol::pg::Bytes body) const;
  [[nodiscard]] bool is_ready_held() const;
  bool wait_for_echo();
  void release_ready();
  void forget_channels();
  void announce_owner(ServerConnection& connection);

  // advisory locks on their way to the other side: session_locks.cpp
  void note_locks(bool is_late);
  void let_lock_work_go();
  [[nodiscard]] bool may_wait_for_lock(char first) const;
  [[nodiscard]] bool waits_for_lock() const;
  void end_lock_wait();
  bool lock_wait_ended(protocol::pg::Bytes error);
  [[nodiscard]] bool may_move_locks() const;
  void continue_parked(std::uint64_t now_ms);
  void locks_asked(bool failed);
  void take_locks();
  void locks_taken();
  void wait_with_locks(std::string refusal);
  void park_with_locks();
  void wait_for_locks(std::size_t bytes);
  void prove_for_locks();
  void locks_proven();
  void locks_released();
  void locks_drained();
  void finish_locks();
  void go_on_with_locks(ServerConnection& connection);
  void ask_for_locks(ServerConnection& connection, const std::string& sql);
  std::size_t on_lock_bytes(ServerConnection& connection, protocol::pg::Bytes data);
  void after_lock_bytes(ServerConnection& connection);
  bool lock_connection_lost(ServerConnection& connection, const std::string& why);
  void lose_fresh();
  void fresh_lost();
  void abandon_fresh();
  void drop_locks();
  void end_without_locks(const char* why);
  [[nodiscard]] const std::string& lock_refusal() const;

  // pins and their end: session_pins.cpp
  void pin(Pin reason, bool for_sure);
  void note_ending_tag(std::string_view tag);
  void ask_pins();
  void pins_answered(std::string_view row);
  [[nodiscard]] std::uint32_t visible_pins() const;

  ServerConnection* server_ = nullptr;
  router::Side told_side_;  // whose own ParameterStatus values the client has
  const std::uint32_t secret_;
  const bool has_long_key_;
  char client_status_ = 'I';      // what the client was last told
  bool discard_body_ = false;     // body_left_ belongs to a stray message
  bool skip_until_sync_ = false;  // a unit was refused: the rest of its segment is void
  bool unit_failed_ = false;      // an error since the last ReadyForQuery
  bool answered_ = false;         // something of its answer was sent to the client
  bool detour_ = false;           // swallow what green still says, then run again on the writer
  Record record_ = Record::off;
  bool told_more_ = false;             // of the recorded unit, more than told_trivial_ says
  bool segment_describes_ = false;     // the recorded unit asks for columns
  bool was_renewed_ = false;           // the unit is its second run
  bool read_begins_ = false;           // the unit's BEGIN READ ONLY was taken for a read
  bool only_prepares_ = false;         // the unit binds nothing
  bool touches_nothing_ = false;       // the query that is sent next was looked at, and has no effect on the state
  bool begin_only_ = false;            // in a transaction that holds nothing but its BEGIN
  bool rolling_back_ = false;          // our own ROLLBACK of such a transaction is on its way
  bool must_begin_ = false;            // the client is in a transaction that begins anew with its next message
  bool begins_later_ = false;          // counted in the level of that name
  bool awaiting_types_ = false;        // a Bind waits for what the server says of its statement
  bool rolled_back_tag_ = false;       // the last command tag was ROLLBACK
  std::uint32_t told_trivial_ = 0;     // replies of the recorded unit that went to the client and say nothing yet
  std::uint32_t skip_trivial_ = 0;     // so many it has had already
  std::uint32_t recheck_ = 0;          // of these it is to be asked whether they still stand
  std::uint32_t pinned_anew_ = 0;      // since that was asked: the answer does not know of it
  std::uint64_t body_left_ = 0;        // of a client message that is being streamed
  std::uint64_t unit_left_ = 0;        // bytes of a ramped unit not sent yet: nothing behind it may follow it to green
  std::uint32_t unnamed_version_ = 0;  // counts what the client has made of its unnamed statement
  std::size_t held_bytes_ = 0;
  std::string replay_;         // the ramped unit, for its second run
  std::string held_reply_;     // begin of green's answer, before it is known to be good
  std::string begin_sql_;      // the text of that BEGIN
  std::string unnamed_parse_;  // content of the last unnamed Parse
  Parameters parameters_;      // as the client set them
  ReadSettings read_settings_;
  Parameters startup_parameters_;
  std::unique_ptr<Trail> trail_;  // of the running transaction, if it leaves one
  std::unordered_map<std::string, Prepared, TextHash, std::equal_to<>> prepared_;
  Prepared* bound_ = nullptr;                                       // of the last Bind of this unit
  std::vector<std::pair<std::uint32_t, std::string>> unit_parses_;  // names made since the last ReadyForQuery
  std::vector<std::pair<std::string, Prepared>> unit_closed_;       // statements closed since then
  std::unique_ptr<std::unordered_map<std::string, Prepared, TextHash, std::equal_to<>>> forgotten_;  // if DISCARD fails
  std::shared_ptr<const protocol::pg::Watch> unnamed_watch_;  // of the last unnamed Parse, if it has effects
  std::vector<PendingEffect> pending_effects_;
  std::unique_ptr<Subscription> subscription_;                // of one that listens
  std::unique_ptr<ShadowCopy<router::AnswerReader>> shadow_;  // while the unit is one that the other side gets as well
  std::unique_ptr<LockTransfer> lock_transfer_;               // of one with advisory locks, while a hold is on
  std::uint32_t work_ = 0;                                    // number of the last query or execute
  std::uint32_t statements_done_ = 0;                         // of the query that is being answered
};

}  // namespace turnout::proxy
