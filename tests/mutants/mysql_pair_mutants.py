"""The mutants of what a MariaDB pair is promised."""
from __future__ import annotations

from mutant import Edit, Mutant

RESTART = "tests/e2e/test_mysql_restart.py"

MUTANTS = [
    Mutant("the_fence_is_only_said", "-", "the old writer of a MariaDB pair is not made read-only, and nobody looks", (
        Edit("control/mysql_fence.cpp",
             "  const auto set = set_global(**loan, (*loan)->dialect().fence, true);\n"
             "  return set ? StepAnswer::done() : failed(set.error());\n",
             "  return StepAnswer::done();\n"),
        Edit("control/mysql_fence.cpp",
             "  if (!*fenced) return StepAnswer::failed(std::string(router::name(from)) + \" is not read-only\");\n",
             ""),
        Edit("control/mysql_fence.cpp",
             "  return *fenced ? StepAnswer::done() : StepAnswer::failed(who + \" takes writes again: somebody has lowered the fence\");\n",
             "  return StepAnswer::done();\n")),
        "tests/e2e/test_mysql_cutover.py::test_a_role_past_turnout_never_writes_on_both[mariadb]"),
    Mutant("a_restarted_follower_stays_open", "-", "a follower that comes up writable is left so",
           (Edit("control/mysql_watch.cpp",
                 "  return !server.read_only && is_ours ?",
                 "  return server.read_only && is_ours ?"),),
           f"{RESTART}::test_a_follower_that_comes_up_writable_is_closed_again[mariadb]"),
    Mutant("a_writer_is_opened_whoever_closed_it", "-", "a writer that somebody has made read-only is opened again",
           (Edit("control/mysql_watch.cpp",
                 "  const bool is_itself = server.by_options && server.id",
                 "  const bool is_itself = server.id"),),
           f"{RESTART}::test_what_somebody_has_set_on_the_writer_stays[mariadb]"),
    Mutant("the_proof_believes_an_open_follower", "-", "a new writer that took writes before the decision is believed",
           (Edit("control/mysql_proof.cpp",
                 "  if (says_read_only(closed->text(0))) return StepAnswer::done();\n",
                 "  if (!closed->empty()) return StepAnswer::done();\n"),),
           f"{RESTART}::test_a_proof_does_not_believe_a_follower_that_takes_writes[mariadb]"),
    Mutant("the_way_back_is_tried_in_another_way", "-", "the login of the way back is tried with TLS that it will not have",
           (Edit("control/mysql_preflight_data.cpp",
                 "  tls.mode = !link.encrypts                          ? conf::TlsMode::disable\n",
                 "  tls.mode = !link.encrypts                          ? tls.mode\n"),),
           "tests/e2e/test_mysql_preflight.py::test_the_login_of_the_way_back"),
]
