// Names that status, reports and metrics print (README, "Names").
#include "drain/cutover.h"

namespace turnout::drain {

const char* name(Phase phase) {
  switch (phase) {
    case Phase::idle:
      return "idle";
    case Phase::preflight:
      return "preflight";
    case Phase::warm:
      return "warm";
    case Phase::drain:
      return "drain";
    case Phase::fence:
      return "fence";
    case Phase::prove:
      return "prove";
    case Phase::copy_state:
      return "copy_state";
    case Phase::decide:
      return "decide";
    case Phase::flip:
      return "flip";
    case Phase::resume:
      return "resume";
    case Phase::settle:
      return "settle";
    case Phase::cooling:
      return "cooling";
    case Phase::finished:
      return "finished";
    case Phase::reverting:
      return "reverting";
    case Phase::unknown:
      return "unknown";
  }
  return "?";
}

const char* name(Direction direction) {
  return direction == Direction::cutover ? "cutover" : "rollback";
}

const char* name(Outcome outcome) {
  switch (outcome) {
    case Outcome::none:
      return "none";
    case Outcome::planned:
      return "planned";
    case Outcome::refused:
      return "refused";
    case Outcome::committed:
      return "committed";
    case Outcome::reverted:
      return "reverted";
    case Outcome::aborted:
      return "aborted";
    case Outcome::rehearsed:
      return "rehearsed";
  }
  return "?";
}

const char* name(Decision decision) {
  switch (decision) {
    case Decision::none:
      return "none";
    case Decision::commit:
      return "commit";
    case Decision::abort:
      return "abort";
    case Decision::unknown:
      return "unknown";
  }
  return "?";
}

const char* name(Routing routing) {
  switch (routing) {
    case Routing::normal:
      return "normal";
    case Routing::warm:
      return "warm";
    case Routing::hold_writes:
      return "hold_writes";
    case Routing::fence:
      return "fence";
    case Routing::flip:
      return "flip";
    case Routing::release_to:
      return "release_to";
    case Routing::release_from:
      return "release_from";
    case Routing::hold_all:
      return "hold_all";
  }
  return "?";
}

}  // namespace turnout::drain
