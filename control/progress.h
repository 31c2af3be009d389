// What a running cutover looks like while somebody watches: one line a phase with its time, redrawn in place on a
// terminal, appended otherwise. Pure but for the stream it writes to; times are those of the events.
#pragma once

#include <boost/json/object.hpp>
#include <iosfwd>
#include <string>
#include <vector>

namespace turnout::control {

class Progress {
 public:
  // `live`: the stream is a terminal that understands cursor movements.
  Progress(std::ostream& out, bool live) : out_(out), live_(live) {}

  void on_event(const std::string& type, const boost::json::object& data);

 private:
  struct Step {
    std::string phase;
    double at_ms = 0;
    std::string counts;
  };
  void redraw();
  [[nodiscard]] std::string line(std::size_t at) const;

  std::ostream& out_;
  bool live_;
  std::vector<Step> steps_;
  std::size_t first_ = 0;  // step on the first of the lines drawn
  std::size_t drawn_ = 0;  // lines that redraw() may go back over
};

}  // namespace turnout::control
