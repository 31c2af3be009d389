// The proof that the new writer has everything: the old one's binary log position after the fence, applied over there.
//
// Always true: the position is read behind a verified fence, so nothing can come after it; applied means that the
// follower's own gtid_slave_pos, which travels in the transactions themselves, has reached it (or what its tables say
// it has committed: mysql_position.h), and that its engines' logs are flushed: a crash of the new writer takes none of
// it back. By file and position the way back begins where the new writer's own log ends then: it is closed, and has
// nothing left to apply, so all behind that place is its own.
#pragma once

#include <atomic>

#include "control/mysql_context.h"

namespace turnout::control {

// Under which name the one position of a server stands among an attempt's fence positions.
inline constexpr const char* server_position = "server";

[[nodiscard]] StepAnswer read_fence_position(MysqlContext& context, Attempt& attempt, router::Side from);
[[nodiscard]] StepAnswer await_fence_position(MysqlContext& context, Attempt& attempt, router::Side to,
                                              const std::atomic<bool>& cancelled);

}  // namespace turnout::control
