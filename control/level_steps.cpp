#include "control/level_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

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

}  // namespace

std::optional<StepAnswer> run_level_step(StepContext& context, const drain::Action& action, Attempt& attempt,
                                         const std::atomic<bool>& cancelled) {
  using enum drain::Step;
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
    case decide_commit:
      return decide(context, attempt, drain::Decision::commit);
    case decide_abort:
      return decide(context, attempt, drain::Decision::abort);
    case run_preflight:
    case record_begin:
    case prepare:
    case publish_warm:
    case publish_hold:
    case record_undo:
    case raise_fence:
    case publish_fence:
    case verify_fence:
    case write_marker:
    case await_marker:
    case check_schema:
    case read_sequences:
    case copy_sequences:
    case advance_slots:
    case publish_flip:
    case copy_journal:
    case open_to:
    case publish_release_to:
    case await_open:
    case disable_forward:
    case await_forward_gone:
    case start_reverse:
    case drop_forward:
    case read_guards:
    case write_report:
    case record_end:
    case lower_fence:
    case await_writable:
    case publish_release_from:
    case publish_doubt:
    case end_former_from:
    case end_former_to:
    case publish_normal:
      break;
  }
  return std::nullopt;
}

std::vector<router::Side> sides_of(const drain::Action& action) {
  using enum drain::Step;
  constexpr std::array of_from_alone = {record_undo,    raise_fence, verify_fence,   write_marker,
                                        read_sequences, lower_fence, await_writable, end_former_from};
  if (std::find(of_from_alone.begin(), of_from_alone.end(), action.step) != of_from_alone.end()) return {action.from};
  return {action.from, router::other(action.from)};
}

StepAnswer await_proven(StepContext& context, Attempt& attempt, router::Side to, const std::atomic<bool>& cancelled) {
  return await_levels(
      context, attempt, cancelled, [to](const auto& now) { return now.side[index(to)].unproven == 0; },
      [to](const auto& now) {
        return counted("connections that are not proven writable on", to, now.side[index(to)].unproven);
      });
}

}  // namespace turnout::control
