#include "control/postgres_steps.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "control/anchors.h"
#include "control/fence.h"
#include "control/journal.h"
#include "control/prepare.h"
#include "control/proof.h"
#include "control/sequences.h"
#include "control/settle.h"

namespace turnout::control {

namespace {

constexpr std::size_t named_max = 3;  // clients in one reason

// Waits until the data path's levels say so. Levels may be asked again and again: nothing is lost by looking late.
// `missing` says of levels that are not reached what is waited for: the reason of an attempt that a deadline ends.
template <typename Reached, typename Missing>
StepAnswer await_levels(StepContext& context, Attempt& attempt, const std::atomic<bool>& cancelled, Reached reached,
                        Missing missing) {
  const auto version = context.routes.table().version;
  bool told_overflow = false;
  while (!cancelled) {
    const auto levels = context.proxy.levels(context.index);
    if (levels.hold_overflow && !told_overflow) {
      told_overflow = true;
      context.on_hold_overflow();
    }
    {
      const std::lock_guard guard(attempt.mutex);
      attempt.held_sessions = std::max(attempt.held_sessions, levels.held_sessions);
    }
    if (levels.version >= version && reached(levels)) return StepAnswer::done();
    short_pause();
  }
  const auto levels = context.proxy.levels(context.index);
  if (levels.version < version) return StepAnswer::failed("not every worker has taken the latest orders");
  return StepAnswer::failed(missing(levels));
}

std::string counted(const char* what, router::Side side, std::uint32_t count) {
  return std::string(what) + " " + router::name(side) + ": " + std::to_string(count);
}

// The first few clients whose transactions a drain waits for, the oldest first.
std::string who_writes(StepContext& context, router::Side side) {
  auto clients = context.proxy.clients(context.index);
  std::erase_if(clients, [side](const auto& one) { return one.side != router::name(side) || !one.in_transaction; });
  std::sort(clients.begin(), clients.end(), [](const auto& a, const auto& b) { return a.state_s > b.state_s; });
  std::string who;
  for (std::size_t i = 0; i < std::min(named_max, clients.size()); ++i) {
    const auto& one = clients[i];
    who += fmt::format("{}client {} {}@{}{}, in a transaction for {:.1f} s", i == 0 ? " (" : "; ", one.id, one.user,
                       one.address, one.application.empty() ? "" : " " + one.application, one.state_s);
  }
  return who.empty() ? "" : who + ")";
}

StepAnswer prepare_step(StepContext& context, Attempt& attempt, router::Side from) {
  boost::json::array done;
  if (auto error = prepare_pair(context, attempt, from, done); !error.empty()) return StepAnswer::failed(error);
  if (auto error = warm_connections(context, attempt, from); !error.empty()) return StepAnswer::failed(error);
  // Without it no read is known for one, and reads would wait in the hold like writes.
  if (auto error = context.load_catalog(from); !error.empty()) return StepAnswer::failed(error);
  if (auto error = warm_marker(context, attempt, from); !error.empty()) return StepAnswer::failed(error);
  if (auto near = bring_slots_near(context, attempt, from); !near.ok) return near;
  const std::lock_guard guard(attempt.mutex);
  for (auto& line : done) attempt.notes.push_back(std::move(line));
  return StepAnswer::done();
}

StepAnswer decide(StepContext& context, Attempt& attempt, drain::Decision wanted) {
  boost::json::object detail{{"who", attempt.who}};
  {
    const std::lock_guard guard(attempt.mutex);
    boost::json::object positions;
    for (const auto& [database, position] : attempt.fence_position) positions[database] = position;
    detail["fence_positions"] = std::move(positions);
    boost::json::object first;
    for (const auto& [database, position] : attempt.slot_target) first[database] = position;
    detail["first_positions"] = std::move(first);
  }
  StepAnswer answer;
  answer.decision = context.store.decide(context.deployment, attempt.epoch, wanted, std::move(detail));
  return answer;
}

// What is left to do when nobody waits any more.
StepAnswer read_guards_and_set_anchors(StepContext& context, Attempt& attempt, router::Side from) {
  auto read = control::read_guards(context, attempt, from);
  return read.ok ? set_anchors(context, attempt, from) : read;
}

bool touches_only_from(drain::Step step) {
  using enum drain::Step;
  return step == record_undo || step == raise_fence || step == verify_fence || step == write_marker ||
         step == read_sequences || step == lower_fence || step == await_writable || step == end_former_from;
}

}  // namespace

StepAnswer PostgresSteps::run(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled) {
  auto answer = dispatch(action, attempt, cancelled);
  if (!answer.ok) {
    end_lost(action.from, cancelled);
    // What happens on `from` alone must not wait for a `to` that has gone quiet: the way back needs its answer.
    if (!touches_only_from(action.step)) end_lost(router::other(action.from), cancelled);
  }
  return answer;
}

StepAnswer PostgresSteps::dispatch(const drain::Action& action, Attempt& attempt, const std::atomic<bool>& cancelled) {
  using enum drain::Step;
  auto& context = context_;
  const auto from = action.from;
  const auto to = router::other(from);
  const auto levels = [&](auto reached, auto missing) {
    return await_levels(context, attempt, cancelled, reached, missing);
  };
  const auto released = [&] {
    return levels([](const auto& now) { return now.held_sessions == 0; },
                  [](const auto& now) { return "sessions that are held: " + std::to_string(now.held_sessions); });
  };
  switch (action.step) {
    case prepare:
      return prepare_step(context, attempt, from);
    case await_warm:
      return levels([to](const auto& now) { return now.side[index(to)].warming == 0; },
                    [to](const auto& now) {
                      return counted("connections that are not ready on", to, now.side[index(to)].warming);
                    });
    case await_held:
      // The fence may overlap the drain, but not what the server has yet to begin.
      return levels([from](const auto& now) { return now.side[index(from)].begin_later == 0; },
                    [from](const auto& now) {
                      return counted("transactions that have yet to begin on", from, now.side[index(from)].begin_later);
                    });
    case await_drained: {
      // Twice in a row: a level is a sum over workers that were not read at one instant.
      int times = 0;
      return levels(
          [from, &times](const auto& now) {
            times = now.side[index(from)].writes_in_flight == 0 ? times + 1 : 0;
            return times >= 2;
          },
          [&](const auto& now) {
            return counted("transactions that may still write on", from, now.side[index(from)].writes_in_flight) +
                   who_writes(context, from);
          });
    }
    case await_closed:
      return levels([from](const auto& now) { return now.side[index(from)].write_connections == 0; },
                    [from](const auto& now) {
                      return counted("write connections that are open to", from,
                                     now.side[index(from)].write_connections);
                    });
    case await_flipped:
      return levels([](const auto&) { return true; }, [](const auto&) { return std::string("given up"); });
    case await_released:
      return released();
    case await_released_from:
      // Not also "unproven 0": a transaction that outlives the attempt would keep it open, and its connection is asked
      // before its next work anyway, because the orders of this table stand until the next attempt.
      return released();
    case await_open: {
      auto told = control::await_writable(context, attempt, to, cancelled);
      if (!told.ok) return told;
      return levels([to](const auto& now) { return now.side[index(to)].unproven == 0; },
                    [to](const auto& now) {
                      return counted("connections that are not proven writable on", to, now.side[index(to)].unproven);
                    });
    }
    case record_undo:
      return control::record_undo(context, attempt, from);
    case raise_fence:
      return control::raise_fence(context, attempt, from, cancelled);
    case verify_fence:
      return control::verify_fence(context, attempt, from, cancelled);
    case write_marker:
      return control::write_marker(context, attempt, from);
    case await_marker:
      return control::await_marker(context, attempt, from, cancelled);
    case check_schema:
      return control::check_schema(context, attempt, from);
    case read_sequences:
      return control::read_sequences(context, attempt, from);
    case copy_sequences:
      return control::copy_sequences(context, attempt, from);
    case advance_slots:
      return control::advance_slots(context, attempt, from);
    case decide_commit:
      return decide(context, attempt, drain::Decision::commit);
    case decide_abort:
      return decide(context, attempt, drain::Decision::abort);
    case copy_journal:
      return control::copy_journal(context, attempt, from);
    case open_to:
      return control::open_side(context, attempt, to);
    case disable_forward:
      return control::disable_forward(context, attempt, from, cancelled);
    case await_forward_gone:
      return control::await_forward_gone(context, attempt, from, cancelled);
    case start_reverse:
      return control::start_reverse(context, attempt, from, cancelled);
    case drop_forward:
      return control::drop_forward(context, attempt, from);
    case read_guards:
      return read_guards_and_set_anchors(context, attempt, from);
    case lower_fence:
      return control::lower_fence(context, attempt, from);
    case await_writable:
      return control::await_writable(context, attempt, from, cancelled);
    case end_former_from:
      return control::end_former(context, attempt, from, cancelled);
    case end_former_to:
      return control::end_former(context, attempt, to, cancelled);
    case run_preflight:
    case record_begin:
    case write_report:
    case record_end:
    case publish_warm:
    case publish_hold:
    case publish_fence:
    case publish_flip:
    case publish_release_to:
    case publish_release_from:
    case publish_doubt:
    case publish_normal:
      return StepAnswer::failed(std::string(drain::name(action.step)) + " is not a step of the servers");
  }
  return StepAnswer::failed("unknown step");
}

// A statement whose connection was lost may still be running. It is over when its backend is gone; until then nobody is
// told that the step failed, because the way back would race with it.
void PostgresSteps::end_lost(router::Side side, const std::atomic<bool>& cancelled) {
  for (const auto pid : context_.shelf.lost(side)) {
    while (!cancelled) {
      auto client = context_.shelf.fresh(side, "postgres", window_ms_max);
      if (client) {
        const auto left = client->query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'turnout' AND pid = " +
                std::to_string(pid),
            window_ms_max);
        if (left && left->empty()) break;
      } else if (!client.error().lost && !client.error().sqlstate.empty()) {
        spdlog::warn("{}: {}", context_.deployment, client.error().message());
      }
      long_pause();
    }
    if (!cancelled) context_.shelf.forget_lost(side, pid);
  }
}

}  // namespace turnout::control
