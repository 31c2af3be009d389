// What one worker measures of the reads that a ramp compares: by shape, those on green against those of the control
// group, how long they took and what they failed with. Empty, and without memory, while no ramp is on.
//
// Of the worker's thread alone; control asks by posting (Proxy::read_looks) and takes what there is. Bounded: so many
// shapes, and of the texts and error classes so much of each; a shape that has been quiet makes room for a new one.
//
// A unit is measured from being sent to ReadyForQuery: waiting for a connection is not green's doing. A read that
// failed on green is run again on the writer, and only then is it known whose failure it was: its mark stays until
// then.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "router/analysis.h"
#include "router/verdict_cache.h"

namespace turnout::proxy {

// On a session's unit of work while it is measured. slot 0: it is not.
struct ReadMark {
  std::uint16_t slot = 0;
  std::uint16_t turn = 0;  // of the slot: another shape may be in it by the end
  router::Group group = router::Group::control;
  std::array<char, 5> failed = {};  // on green, with this SQLSTATE
  [[nodiscard]] explicit operator bool() const { return slot != 0; }
  [[nodiscard]] bool has_failed() const { return failed[0] != 0; }
};

class ReadMeter {
 public:
  static constexpr std::size_t shapes_max = 256;  // of one worker between two looks
  static constexpr std::size_t text_bytes_max = 400;
  static constexpr std::size_t sqlstates_max = 8;  // of one shape between two looks

  explicit ReadMeter(router::Grammar grammar = router::Grammar::postgres) : grammar_(grammar) {}

  // ---- while a unit is decided: which shape it has. A unit of several texts has none.
  void begin_unit() { seen_ = 0; }
  void saw(std::uint64_t shape, std::string_view sql) {
    ++seen_;
    shape_ = shape;
    sql_ = sql;
  }
  [[nodiscard]] std::uint64_t only_shape() const { return seen_ == 1 ? shape_ : 0; }
  // sql must still be there.
  [[nodiscard]] ReadMark mark(router::Group group);

  // ---- when it is over
  void ended(const ReadMark& mark, std::uint64_t us);
  void failed(const ReadMark& mark, std::string_view sqlstate);
  // What failed on green has been answered by the writer: well, or with this SQLSTATE.
  void answered_again(const ReadMark& mark, std::string_view sqlstate_on_writer);

  // What has come together since it was asked last. Whether anything failed on green alone is worth a look at once.
  [[nodiscard]] std::vector<router::ShapeLook> take();
  void forget();  // no ramp: gives the memory back

 private:
  struct Slot {
    router::ShapeLook look;
    std::uint16_t turn = 0;
    std::uint16_t next = 0;  // of the same bucket
    bool is_quiet = true;    // nothing since the last look
    bool is_asked = false;   // used since the last look: stays
  };
  static constexpr std::size_t buckets = 512;

  [[nodiscard]] std::uint16_t find(std::uint64_t shape) const;
  [[nodiscard]] std::uint16_t make(std::uint64_t shape, std::string_view sql);
  void unlink(std::uint16_t slot);
  [[nodiscard]] Slot* slot_of(const ReadMark& mark);
  void note(Slot& slot, std::string_view sqlstate, bool on_blue, bool on_green);

  const router::Grammar grammar_;  // of the texts
  std::uint32_t seen_ = 0;
  std::uint64_t shape_ = 0;
  std::string_view sql_;
  std::vector<Slot> slots_;             // slot n is slots_[n - 1]
  std::vector<std::uint16_t> buckets_;  // first slot of a bucket, 0 = none
  std::uint16_t turns_ = 0;             // also across forget(): a mark from before is no mark of now
  std::size_t hand_ = 0;                // where the search for a quiet one goes on
};

}  // namespace turnout::proxy
