// What a deployment of protocol mysql may not have, because it means nothing there or is not there yet. Pure.
#pragma once

#include "conf/config.h"
#include "conf/section.h"

namespace turnout::conf {

void check_mysql(const Deployment& deployment, Walker& walker);

}  // namespace turnout::conf
