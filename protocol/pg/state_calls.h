// Private to the state watch: what can be proven about calls of set_config(), and what a DO block may do to the
// session.
//
// A call is proven only where the text is one SELECT of nothing but such calls with literals; with `true` as the last
// argument it lasts no longer than its transaction wherever it stands. Of a block, whose body nobody parses, only words
// are looked at: enough to know when a session must stay where it is.
#pragma once

#include <string_view>
#include <vector>

#include "protocol/pg/state_watch.h"

namespace turnout::protocol::pg {

// `statement` mentions set_config.
void add_set_config_effects(std::string_view statement, std::vector<Effect>& effects);

// `statement` begins with DO.
void add_block_effects(std::string_view statement, std::vector<Effect>& effects);

}  // namespace turnout::protocol::pg
