// Latency asked of the kernel, without privilege and without a larger share of the processor.
#pragma once

namespace turnout::proxy {

// The calling thread works in bursts of a tenth of a millisecond, and everybody waits for it. Says so to the kernel
// (sched_setattr(2): the slice of SCHED_OTHER, since Linux 6.12): on a busy machine it is let in earlier and out
// earlier. An older kernel ignores it; so do we if it refuses.
void ask_for_short_slices();

}  // namespace turnout::proxy
