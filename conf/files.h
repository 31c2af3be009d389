// The files a configuration names: secrets are read into it, the others looked at. The only I/O of conf besides load().
#pragma once

#include "conf/config.h"
#include "conf/section.h"

namespace turnout::conf {

inline constexpr std::size_t secret_bytes_max = 4096;

void read_files(Config& config, Walker& walker);

}  // namespace turnout::conf
