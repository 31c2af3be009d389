// Which name did they mean? For the "did you mean" of a mistake. Pure.
#pragma once

#include <span>
#include <string_view>

namespace turnout::conf {

// The candidate with the fewest edits (insert, delete, replace, swap neighbours) from `written`, letter case and '-'
// against '_' free of charge, one that only goes on or stops earlier counting as one edit; empty when none is near
// enough to be a likely slip.
[[nodiscard]] std::string_view nearest(std::string_view written, std::span<const std::string_view> candidates);

}  // namespace turnout::conf
