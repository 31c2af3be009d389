// Everything around the machine: its executor, workers and their sessions, a client that bypasses the proxy, the
// decision log, two databases and every fault. A World is a value: the walk copies it, the simulation runs one.
//
// What may happen next is a list of Moves; apply() does one and then judges. A World never decides between moves: the
// walk takes all of them, the simulation one at random. `violation()` is the first thing that must never happen.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "drain/cutover.h"
#include "drain/session_gate.h"
#include "tests/sim/bugs.h"
#include "tests/sim/databases.h"

namespace turnout::sim {

// How much of each fault is left. 0 = never.
struct Faults {
  std::uint8_t failures = 0;  // an action fails: before, in the middle or after its effect
  std::uint8_t crashes = 0;   // of the proxy; a new process recovers from the log
  std::uint8_t late = 0;      // every deadline passes at once
  std::uint8_t aborts = 0;    // by the operator
  std::uint8_t overflows = 0;
  std::uint8_t unknowns = 0;  // the decision store does not answer; its write may still land
  std::uint8_t stales = 0;    // the answer to a cancelled wait arrives in a later epoch
  std::uint8_t kills = 0;     // of a server
  std::uint8_t losses = 0;    // of a server connection, with or without the COMMIT executed
  std::uint8_t prepares = 0;  // a stray leaves a prepared transaction
};

struct Setup {
  Bug bug = Bug::none;
  std::uint8_t workers = 1;
  std::uint8_t sessions_per_worker = 1;
  std::uint8_t writes_per_session = 2;
  std::uint8_t attempts = 1;       // cutovers and rollbacks in turn
  bool has_stray = false;          // a client of an ordinary role beside the proxy
  bool has_reads = false;          // reads on the side that does not write, by token
  bool answers_apart = false;      // each effect lands first and is answered later (else only where it matters)
  bool flushes_by_itself = false;  // servers make what was applied durable now and then
  bool rehearse = false;
  Faults faults{};
};

enum class MoveKind : std::uint8_t {
  // the executor's work
  complete,
  land,
  answer,
  fail,
  fail_half,
  lose_answer,
  stale_answer,
  orphan_lands,
  // the proxy and its clients
  adopt,
  begin,
  commit,
  lose_connection,
  lose_commit_answer,
  reload,
  // the stray
  stray_connects,
  stray_sets_off,
  stray_begins,
  stray_commits,
  stray_prepares,
  stray_commits_prepared,
  // the servers
  replicate,
  flush,
  carrier_ends,
  kill,
  revive,
  // reads by token
  sample_start,
  sample_proven,
  ramped_read,
  // the operator, time, accidents
  start_attempt,
  late,
  abort,
  overflow,
  crash
};
[[nodiscard]] const char* name(MoveKind kind);

struct Move {
  MoveKind kind = MoveKind::complete;
  std::uint8_t a = 0;
  std::uint8_t b = 0;
};
[[nodiscard]] bool is_fault(const Move& move);
[[nodiscard]] bool starts_work(const Move& move);  // new work of clients; without it the world comes to rest

class World {
 public:
  explicit World(const Setup& setup);

  [[nodiscard]] std::vector<Move> moves() const;
  void apply(const Move& move);
  [[nodiscard]] const std::string& violation() const { return databases_.violation; }
  [[nodiscard]] std::string text(const Move& move) const;

  // Faults stop, servers come back, started work ends: true when nothing is open any more.
  void end_faults();
  [[nodiscard]] bool is_at_rest() const;
  void judge_rest();  // at rest: one writable side, the right one; every row on both sides; nobody held

  void append_key(std::string& key) const;  // equal keys behave alike
  [[nodiscard]] const drain::State& state() const { return state_; }
  // How often an attempt ended so: a simulation in which nothing ever commits proves nothing.
  [[nodiscard]] const std::array<std::uint32_t, 7>& outcomes() const { return outcomes_; }

 private:
  struct Token {
    std::uint64_t epoch = 0;
    std::uint16_t number = 0;
  };
  struct Session {
    std::uint8_t worker = 0;
    std::array<Backend, 2> connection;  // `write` connections; the session is its own pool
    bool is_held = false;
    bool in_transaction = false;
    Side side = Side::blue;  // of its transaction
    std::uint8_t writes_left = 0;
    std::uint16_t row = 0;  // of its transaction
    std::vector<std::uint16_t> acknowledged;
    Token token;
  };
  struct Running {
    drain::Action action;
    bool has_landed = false;
    drain::Decision decision = drain::Decision::none;  // what the store answers
  };
  struct Log {
    std::uint64_t epoch = 0;
    drain::Direction direction = drain::Direction::cutover;
    bool begun = false, undo = false, ended = false;
    drain::Decision decision = drain::Decision::none;
    Side writer = Side::blue;  // before that epoch
  };

  [[nodiscard]] bool splits(drain::Step step) const;
  [[nodiscard]] bool can_complete(const Running& running) const;
  [[nodiscard]] bool levels_allow(const Running& running) const;
  [[nodiscard]] bool server_allows(const Running& running) const;
  void add_executor_moves(std::vector<Move>& moves) const;
  void add_session_moves(std::vector<Move>& moves) const;
  void add_stray_moves(std::vector<Move>& moves) const;
  void add_server_moves(std::vector<Move>& moves) const;
  void add_read_moves(std::vector<Move>& moves) const;
  void add_accidents(std::vector<Move>& moves) const;
  [[nodiscard]] bool passes_preflight(const drain::Action& action) const;
  [[nodiscard]] bool may_begin(const Session& session) const;
  [[nodiscard]] bool may_read_ramped(const Session& session) const;

  void send(drain::Event event);
  void deliver(std::size_t index, drain::EventKind kind);
  void land(Running& running, bool only_half);
  void land_on_servers(const drain::Action& action, bool only_half);
  void land_fence(const drain::Action& action, bool only_half);
  void land_in_log(Running& running);
  void publish(const drain::Action& action);
  void apply_executor(const Move& move);
  void apply_session(const Move& move);
  void apply_stray(const Move& move);
  void apply_servers(const Move& move);
  void apply_reads(const Move& move);
  void apply_accident(const Move& move);
  void take_stale_answer(std::size_t index);
  void adopt(std::size_t worker);
  void begin(Session& session);
  void commit(Session& session, bool answer_arrives);
  void acknowledge(Session& session, std::uint16_t row);
  void start_attempt();
  void crash();
  void kill(Side side);
  void judge();
  void judge_commit(Side from);
  void judge_reads();

  [[nodiscard]] Side writer() const;  // by the log
  [[nodiscard]] std::int64_t now_ms() const { return std::int64_t{late_times_} * 1'000'000; }
  [[nodiscard]] bool all_adopted() const;
  [[nodiscard]] bool owns_connection_on(Side side) const;
  [[nodiscard]] bool all_may_write_on(Side side) const;
  [[nodiscard]] bool can_write(Side side) const;
  [[nodiscard]] drain::SessionView view(const Session& session, drain::Unit unit) const;

  Setup setup_;
  Faults faults_;
  drain::Cutover machine_;
  drain::State state_;
  Databases databases_;
  Log log_;
  router::RoutingTable latest_;
  std::vector<router::RoutingTable> adopted_;  // per worker
  std::vector<Session> sessions_;
  Backend stray_;
  std::uint16_t stray_row_ = 0;
  std::uint8_t stray_writes_left_ = 0;
  std::uint16_t prepared_row_ = 0;
  std::vector<std::uint16_t> acknowledged_;         // to clients of the proxy
  std::vector<std::uint16_t> acknowledged_strays_;  // to others
  std::vector<Running> running_;
  std::vector<drain::Action> orphans_;  // sent by a process that died; may land until ended
  std::vector<drain::Action> stale_;    // cancelled waits whose answers may still come
  std::uint8_t late_times_ = 0;
  bool refuses_new_work_ = false;
  std::array<std::uint32_t, 7> outcomes_{};
  std::uint8_t attempts_left_ = 0;
  std::uint16_t next_row_ = 1;
  std::uint16_t sequence_read_ = 0;
  // reads by token: the sampler of the control side
  std::uint64_t board_epoch_ = 0;
  std::uint16_t board_started_ = 0, board_proven_ = 0, sample_position_ = 0;
  Side board_writer_ = Side::blue;
};

}  // namespace turnout::sim
