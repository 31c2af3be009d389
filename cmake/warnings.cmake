# Clean with our libraries on g++ 12; -Wnull-dereference is left out on purpose (false positives in the standard library).
set(TURNOUT_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Wcast-qual
    -Wformat=2 -Wnon-virtual-dtor -Woverloaded-virtual -Wundef -Wextra-semi -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND TURNOUT_WARNINGS -Wsuggest-override -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wswitch-enum)
endif()
if(TURNOUT_SANITIZE MATCHES "thread")
  list(APPEND TURNOUT_WARNINGS -Wno-tsan)
endif()

function(turnout_warnings target)
  target_compile_options(${target} PRIVATE ${TURNOUT_WARNINGS})
  target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
endfunction()

# turnout_library(NAME LINKED...) : every .cpp below the calling folder, one static library.
function(turnout_library target)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/proxy/main\\.cpp$")
  add_library(${target} STATIC ${sources})
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE CXX)
  turnout_warnings(${target})
  target_link_libraries(${target} PUBLIC ${ARGN})
endfunction()
