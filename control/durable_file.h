// A small file, whole. Written it is one that is either as it was or as it shall be, whatever happens in between: written next to it, synced,
// renamed, and the directory synced.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace turnout::control {

// "" where there is none.
[[nodiscard]] std::string content_of(const std::filesystem::path& file);
// "" = durable, else why not.
[[nodiscard]] std::string write_durably(const std::filesystem::path& file, std::string_view content);

}  // namespace turnout::control
