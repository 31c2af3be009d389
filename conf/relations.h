// What must hold *between* knobs, each of which is fine by itself. Pure: values and positions in, mistakes out.
#pragma once

#include "conf/config.h"
#include "conf/section.h"

namespace turnout::conf {

void check_relations(const Config& config, Walker& walker);

}  // namespace turnout::conf
