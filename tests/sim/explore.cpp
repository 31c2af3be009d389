#include "tests/sim/explore.h"

#include <algorithm>
#include <functional>
#include <string_view>
#include <unordered_set>

namespace turnout::sim {
namespace {

constexpr std::size_t rest_moves_max = 3'000;

// splitmix64: the same numbers on every machine and library.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  [[nodiscard]] std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
    return mixed ^ (mixed >> 31);
  }
  [[nodiscard]] std::size_t below(std::size_t limit) { return static_cast<std::size_t>(next() % limit); }
  [[nodiscard]] bool one_in(std::size_t chance) { return below(chance) == 0; }

 private:
  std::uint64_t state_;
};

// Faults are over. Everything that is possible is done; time passes only where nothing else can happen.
void come_to_rest(World& world, Dice* dice, std::vector<std::string>* history, std::size_t& made) {
  world.end_faults();
  for (std::size_t i = 0; i < rest_moves_max && world.violation().empty(); ++i) {
    if (world.is_at_rest()) break;
    std::vector<Move> moves = world.moves();
    std::erase_if(moves, [](const Move& move) { return starts_work(move); });
    std::vector<Move> willing = moves;
    std::erase_if(willing, [](const Move& move) { return is_fault(move); });
    const std::vector<Move>& choice = willing.empty() ? moves : willing;
    if (choice.empty()) break;
    const Move move = choice[dice == nullptr ? 0 : dice->below(choice.size())];
    if (history != nullptr) history->push_back("(no faults) " + world.text(move));
    world.apply(move);
    ++made;
  }
}

[[nodiscard]] std::string judged_at_rest(World& world, Dice* dice, std::vector<std::string>* history,
                                         std::size_t& made) {
  come_to_rest(world, dice, history, made);
  if (!world.violation().empty()) return world.violation();
  if (!world.is_at_rest()) return "does not come to rest: " + std::string(drain::name(world.state().phase));
  world.judge_rest();
  return world.violation();
}

struct Visit {
  std::uint32_t parent = 0;
  Move move;
};

struct Pending {
  World world;
  std::uint32_t visit = 0;
};

// The states are not kept, only how they were reached: the history is found by walking it again.
[[nodiscard]] std::vector<std::string> history_of(const Setup& setup, const std::vector<Visit>& visits,
                                                  std::uint32_t last) {
  std::vector<Move> moves;
  for (std::uint32_t at = last; at != 0; at = visits[at].parent) moves.push_back(visits[at].move);
  std::ranges::reverse(moves);
  World world(setup);
  std::vector<std::string> history;
  for (const Move& move : moves) {
    history.push_back(world.text(move));
    world.apply(move);
  }
  return history;
}

// One kind of move is slow in half of the runs: races need somebody who is late again and again.
[[nodiscard]] Move pick(const std::vector<Move>& moves, MoveKind slow, Dice& dice) {
  const Move move = moves[dice.below(moves.size())];
  if (move.kind != slow || dice.one_in(8)) return move;
  return moves[dice.below(moves.size())];
}

}  // namespace

std::string Finding::text() const {
  std::string text = violation;
  for (const std::string& line : history) text += "\n  " + line;
  return text;
}

Finding walk(const Setup& setup, std::size_t states_max, std::size_t rest_every) {
  Finding finding;
  std::unordered_set<std::size_t> seen;
  std::vector<Visit> visits(1);
  std::vector<Pending> stack;
  stack.push_back({World(setup), 0});
  std::string key;
  while (!stack.empty()) {
    const Pending current = std::move(stack.back());
    stack.pop_back();
    for (const Move& move : current.world.moves()) {
      World next = current.world;
      next.apply(move);
      key.clear();
      next.append_key(key);
      if (!seen.insert(std::hash<std::string_view>{}(key)).second && next.violation().empty()) continue;
      const auto visit = static_cast<std::uint32_t>(visits.size());
      visits.push_back({current.visit, move});
      finding.violation = next.violation();
      const bool rests = finding.violation.empty() && seen.size() % rest_every == 0;
      std::vector<std::string> tail;
      if (rests) {
        World resting = next;
        finding.violation = judged_at_rest(resting, nullptr, &tail, finding.moves);
      }
      finding.states = seen.size();
      if (!finding.violation.empty()) {
        finding.history = history_of(setup, visits, visit);
        finding.history.insert(finding.history.end(), tail.begin(), tail.end());
        return finding;
      }
      if (seen.size() >= states_max) {
        finding.is_complete = false;
        return finding;
      }
      stack.push_back({std::move(next), visit});
    }
  }
  return finding;
}

Finding run(const Setup& setup, std::uint64_t seed, std::size_t moves_max, bool keep_history) {
  Finding finding;
  Dice dice(seed ^ 0x7475726e6f7574ULL);
  World world(setup);
  const auto slow = static_cast<MoveKind>(dice.below(static_cast<std::size_t>(MoveKind::crash) * 2));
  std::vector<std::string>* history = keep_history ? &finding.history : nullptr;
  for (std::size_t i = 0; i < moves_max && world.violation().empty(); ++i) {
    std::vector<Move> moves = world.moves();
    if (moves.empty()) break;
    // Accidents are rare, or nothing would ever get far enough for the interesting ones.
    if (!dice.one_in(12)) {
      std::vector<Move> willing = moves;
      std::erase_if(willing, [](const Move& move) { return is_fault(move); });
      if (!willing.empty()) moves = std::move(willing);
    }
    const Move move = pick(moves, slow, dice);
    if (history != nullptr) history->push_back(world.text(move));
    world.apply(move);
    ++finding.moves;
  }
  finding.violation = world.violation();
  if (finding.violation.empty()) finding.violation = judged_at_rest(world, &dice, history, finding.moves);
  finding.outcomes = world.outcomes();
  return finding;
}

Setup setup_of(std::uint64_t seed, Bug bug) {
  Dice dice(seed);
  const auto upto = [&dice](std::size_t most) { return static_cast<std::uint8_t>(dice.below(most + 1)); };
  Setup setup;
  setup.bug = bug;
  setup.workers = static_cast<std::uint8_t>(1 + dice.below(2));
  setup.sessions_per_worker = static_cast<std::uint8_t>(1 + dice.below(3));
  setup.writes_per_session = static_cast<std::uint8_t>(2 + dice.below(6));
  setup.attempts = static_cast<std::uint8_t>(1 + dice.below(4));
  setup.has_stray = dice.one_in(2);
  setup.has_reads = dice.one_in(2);
  setup.answers_apart = dice.one_in(2);
  setup.flushes_by_itself = dice.one_in(2);
  setup.rehearse = dice.one_in(10);
  if (dice.one_in(8)) return setup;  // a calm day
  setup.faults = {.failures = upto(4),
                  .crashes = upto(2),
                  .late = upto(2),
                  .aborts = upto(1),
                  .overflows = upto(1),
                  .unknowns = upto(2),
                  .stales = upto(2),
                  .kills = upto(2),
                  .losses = upto(2),
                  .prepares = upto(1)};
  return setup;
}

}  // namespace turnout::sim
