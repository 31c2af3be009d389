// pg_dump's text as single statements, and the choice of the pg_dump.
#include "control/schema_script.h"

#include <gtest/gtest.h>

#include "control/child_process.h"
#include "control/dump_program.h"

namespace turnout::control {
namespace {

std::vector<std::string> statements(std::string_view text) {
  const auto script = split_script(text);
  EXPECT_EQ(script.error, "");
  return {script.statements.begin(), script.statements.end()};
}

TEST(SchemaScript, EndsStatementsWhereTheServerWould) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(statements(""), Texts{});
  EXPECT_EQ(statements("-- only words\n\n/* ; */ ;;"), Texts{});
  EXPECT_EQ(statements("SET a = 1;\n-- b;\nSET b = 'x;y';"), (Texts{"SET a = 1;", "SET b = 'x;y';"}));
  EXPECT_EQ(statements("CREATE TABLE \"a;b\" (c int); SELECT 1"), (Texts{"CREATE TABLE \"a;b\" (c int);", "SELECT 1"}));
  EXPECT_EQ(statements("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3;"),
            (Texts{"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);", "SELECT 3;"}));
  EXPECT_EQ(
      statements("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $_$BEGIN; RETURN 1; END$_$; SELECT 1;").size(),
      2U);
}

TEST(SchemaScript, ARoutinesBodyIsOneStatement) {
  const std::string body =
      "CREATE OR REPLACE PROCEDURE \"p\"() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); "
      "SELECT CASE WHEN true THEN 1 END; END;";
  EXPECT_EQ(statements(body + " SELECT 1;"), (std::vector<std::string>{body, "SELECT 1;"}));
  // Elsewhere BEGIN opens nothing.
  EXPECT_EQ(statements("BEGIN; SELECT 1; END;").size(), 3U);
}

TEST(SchemaScript, LinesForPsqlAlone) {
  EXPECT_EQ(statements("\\restrict aB3;x'\n\nSET a = 1;\n\n\\unrestrict aB3\n"),
            std::vector<std::string>{"SET a = 1;"});
  EXPECT_NE(split_script("SET a = 1;\n\\connect other\n").error.find("\\connect other"), std::string::npos);
  EXPECT_NE(split_script("SET a = 'open").error, "");
  EXPECT_EQ(statements("COMMENT ON TABLE t IS E'back\\\\slash';\n").size(), 1U);
}

TEST(DumpProgram, TellsItsVersion) {
  EXPECT_EQ(dump_major("pg_dump (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), 15);
  EXPECT_EQ(dump_major("pg_dump (PostgreSQL) 19beta1"), 19);
  EXPECT_EQ(dump_major("pg_dump (PostgreSQL) "), 0);
  EXPECT_EQ(dump_major("mysqldump  Ver 10.19"), 0);
  EXPECT_EQ(dump_major(""), 0);
}

TEST(DumpProgram, TheNewestThatGreenUnderstands) {
  const auto chosen = [](std::vector<int> majors, int blue, int green) {
    std::vector<DumpProgram> programs;
    for (const int major : majors) programs.push_back({"/" + std::to_string(major), major});
    const auto found = choose_dump(programs, blue, green);
    return found ? found->major : 0;
  };
  EXPECT_EQ(chosen({14, 15, 16, 18}, 15, 18), 18);
  EXPECT_EQ(chosen({15, 16, 18}, 15, 17), 16);
  EXPECT_EQ(chosen({15}, 15, 18), 15);
  EXPECT_EQ(chosen({19, 18}, 15, 17), 18) << "better a newer one than none";
  EXPECT_EQ(chosen({13, 14}, 15, 18), 0);
  EXPECT_EQ(chosen({}, 15, 18), 0);
}

TEST(DumpProgram, WhatIsNotThereIsNamed) {
  const auto search = find_dump("/nonexistent/pg_dump", 15, 18);
  EXPECT_FALSE(search.program);
  EXPECT_NE(search.error.find("/nonexistent/pg_dump"), std::string::npos);
  EXPECT_NE(search.error.find("15 or newer"), std::string::npos);
}

ProgramEnd shell(const std::string& script, std::uint32_t ms_max = 10'000, std::size_t bytes_max = 1 << 20) {
  const std::atomic<bool> never{false};
  return run_program({"/bin/sh", {"-c", script}, {{"TOLD", "word"}}, ms_max, bytes_max}, never);
}

TEST(ChildProcess, ItsOutputItsComplaintItsEnd) {
  const auto fine = shell("echo $TOLD; echo no >&2");
  EXPECT_TRUE(fine.ok) << fine.error;
  EXPECT_EQ(fine.output, "word\n");
  EXPECT_EQ(fine.complaint, "no\n");
  EXPECT_EQ(shell("exit 3").error, "it ended with 3");
  EXPECT_EQ(shell("kill -9 $$").error, "it was ended by signal 9");
  const std::atomic<bool> never{false};
  EXPECT_NE(run_program({"/nonexistent", {}, {}}, never).error, "");
}

TEST(ChildProcess, Limits) {
  EXPECT_NE(shell("sleep 60", 100).error.find("not done within 100 ms"), std::string::npos);
  EXPECT_NE(shell("sleep 60 >/dev/null 2>&1 & wait", 100).error, "");
  EXPECT_NE(shell("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done", 10'000, 4096).error.find("4096"),
            std::string::npos);
  const std::atomic<bool> cancelled{true};
  EXPECT_EQ(run_program({"/bin/sh", {"-c", "sleep 60"}, {}}, cancelled).error, "given up");
}

// A listening socket that lived on in a child would keep the next Turnout from starting.
TEST(ChildProcess, InheritsNoDescriptor) {
  const auto seen = shell("ls /proc/$$/fd");
  ASSERT_TRUE(seen.ok) << seen.error;
  EXPECT_EQ(seen.output, "0\n1\n2\n");
}

}  // namespace
}  // namespace turnout::control
