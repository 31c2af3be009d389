#include "protocol/pg/state_watch.h"

#include <gtest/gtest.h>

namespace turnout::protocol::pg {
namespace {

// "kind(name|value) kind(…)", so that a row shows all.
std::string said(const Watch& watch) {
  std::string out;
  for (const Effect& effect : watch.effects) {
    if (!out.empty()) out += ' ';
    out += name_of(effect.kind);
    if (effect.name.empty() && effect.value.empty()) continue;
    out += '(' + effect.name;
    if (!effect.value.empty()) out += '|' + effect.value;
    out += ')';
  }
  return out;
}

struct Row {
  std::string_view sql;
  std::string_view effects;
};

void check(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    EXPECT_EQ(said(watch_state(row.sql)), row.effects) << row.sql;
    if (!row.effects.empty()) {
      EXPECT_TRUE(may_touch_state(row.sql)) << row.sql;
    }
  }
}

TEST(StateWatch, set_config_that_is_proven) {
  check({
      {"SELECT pg_catalog.set_config('search_path', '', false)", "set_string(search_path)"},
      {"SELECT set_config('A.b', 'it''s', false) AS x;", "set_string(a.b|it's)"},
      {"SELECT set_config('a', $q$b$q$, 'f'), set_config('c', 'd', 'true')", "set_string(a|b) set_local(c)"},
      {"SELECT pg_catalog.SET_CONFIG ('a', 'b', true)", "set_local(a)"},
      {"SELECT \"set_config\"('a', 'b'::text, FALSE)", "set_string(a|b)"},
      {"select set_config('role', $1, true), set_config('a', $2, true)", "set_local(role) set_local(a)"},
      {"WITH x AS (SELECT set_config('a', f(g, h), true)) SELECT * FROM x", "set_local"},
      {"SELECT set_config('a', NULL, false)", "reset(a)"},
  });
}

TEST(StateWatch, set_config_that_is_not_proven) {
  check({
      {"SELECT set_config('a', $1, false)", "set_config(set_config)"},
      {"SELECT set_config($1, 'b', false)", "set_config(set_config)"},
      {"SELECT set_config('a', 'b', $1)", "set_config(set_config)"},
      {"SELECT set_config('a', 'b', false) WHERE false", "set_config(set_config)"},
      {"SELECT set_config('a', 'b', false) FROM t", "set_config(set_config)"},
      {"SELECT set_config('a', 'b' || 'c', false)", "set_config(set_config)"},
      {"SELECT set_config('a', E'b', false)", "set_config(set_config)"},
      {"SELECT set_config('a', 'b\\c', false)", "set_config(set_config)"},
      {"SELECT 1, set_config('a', 'b', false)", "set_config(set_config)"},
      {"SELECT set_config('a', 'b', false), set_config('a', 'b', true) LIMIT 0", "set_config(set_config)"},
      {"SELECT set_config('transaction_read_only', 'on', false)", "set_config(set_config)"},
      {"SELECT set_config('a', 'b')", "set_config(set_config)"},
      {"SELECT set_config", "set_config(set_config)"},
      {"SELECT set_config('a', 'b', false", "set_config(set_config)"},
  });
}

TEST(StateWatch, blocks) {
  check({
      {"DO $$ BEGIN UPDATE t SET a = 1; END $$", "unknown(do)"},
      {"DO 'BEGIN PERFORM f(); END'", "unknown(do)"},
      {"DO $$ BEGIN SET work_mem = 1; END $$", "unknown(do) set_config(do)"},
      {"DO $$ BEGIN PERFORM set_config('a', 'b', false); END $$", "unknown(do) set_config(do)"},
      {"DO LANGUAGE plpgsql $x$ BEGIN EXECUTE 'SET a = 1'; END $x$", "unknown(do) set_config(do)"},
      {"DO $$ BEGIN CREATE TEMP TABLE t (n int); END $$", "unknown(do) temp_object(do)"},
      {"DO $$ BEGIN IF x THEN SET a = 1; END IF; END $$", "unknown(do) set_config(do)"},
      {"DO E'BEGIN END'", "unknown(do) set_config(do)"},
  });
}

TEST(StateWatch, effects_know_their_statement) {
  const Watch watch = watch_state("SELECT 1; SET a = 1; BEGIN; SELECT set_config('b', 'c', false); COMMIT");
  std::string statements;
  for (const Effect& effect : watch.effects) statements += std::to_string(effect.statement) + ' ';
  EXPECT_EQ(statements, "1 2 3 4 ");
}

TEST(StateWatch, transactions) {
  check({
      {"BEGIN", "begin(|BEGIN)"},
      {"begin;", "begin(|begin)"},
      {" BEGIN READ ONLY ; ", "begin(read only|BEGIN READ ONLY)"},
      {"begin isolation level read committed, read write",
       "begin(read write|begin isolation level read committed, read write)"},
      {"BEGIN ISOLATION LEVEL READ COMMITTED", "begin(|BEGIN ISOLATION LEVEL READ COMMITTED)"},
      {"START TRANSACTION READ ONLY", "begin(read only|START TRANSACTION READ ONLY)"},
      {"BEGIN READ ONLY, READ WRITE", "begin(read write|BEGIN READ ONLY, READ WRITE)"},
      {"COMMIT", "end(|COMMIT)"},
      {"COMMIT WORK", "end(|COMMIT WORK)"},
      {"END", "end(|END)"},
      {"end transaction", "end(|end transaction)"},
      {"ROLLBACK", "end(|ROLLBACK)"},
      {"ABORT", "end(|ABORT)"},
      {"COMMIT AND CHAIN", "end(chain|COMMIT AND CHAIN)"},
      {"ROLLBACK WORK AND CHAIN", "end(chain|ROLLBACK WORK AND CHAIN)"},
      {"COMMIT AND NO CHAIN", "end(|COMMIT AND NO CHAIN)"},
      {"COMMIT PREPARED 'x'", "finish_prepared(|'x')"},
      {"ROLLBACK PREPARED 'x'", "finish_prepared(|'x')"},
      {"PREPARE TRANSACTION 'x'", "prepare_transaction(|'x')"},
      {"SAVEPOINT a", "savepoint(a|savepoint)"},
      {"RELEASE a", "savepoint(a|release)"},
      {"RELEASE SAVEPOINT \"A\"", "savepoint(A|release)"},
      {"ROLLBACK TO a", "savepoint(a|rollback to)"},
      {"ROLLBACK TRANSACTION TO SAVEPOINT a", "savepoint(a|rollback to)"},
      {"ROLLBACK TO savepoint", "savepoint(savepoint|rollback to)"},
      {"/* note */ BEGIN -- now", "begin(|BEGIN)"},
      {"BEGIN; SELECT 1; COMMIT", "begin(|BEGIN) end(|COMMIT)"},
  });
}

TEST(StateWatch, set_and_reset) {
  check({
      {"SET x = 1", "set(x|1)"},
      {"set X to 1;", "set(x|1)"},
      {"SET/**/x=1", "set(x|1)"},
      {"SET search_path = a, \"B\", 'c'", "set(search_path|a, \"B\", 'c')"},
      {"SET SESSION work_mem TO '64MB'", "set(work_mem|'64MB')"},
      {"SET LOCAL work_mem = '64MB'", "set_local(work_mem|'64MB')"},
      {"SET LOCAL work_mem TO DEFAULT", "set_local(work_mem|DEFAULT)"},
      {"SET my.var = 'x'", "set(my.var|'x')"},
      {"SET session.user_id = 5", "set(session.user_id|5)"},
      {"SET local.x = 5", "set(local.x|5)"},
      {"SET role.x = 5", "set(role.x|5)"},
      {"SET names.x = 5", "set(names.x|5)"},
      {"SET transaction.id = 5", "set(transaction.id|5)"},
      {"SET \"Search_Path\" = a", "set(search_path|a)"},
      {"SET x TO DEFAULT", "reset(x)"},
      {"SET x = 'default'", "set(x|'default')"},
      {"SET TIME ZONE 'UTC'", "set(timezone|'UTC')"},
      {"SET TIME ZONE LOCAL", "reset(timezone)"},
      {"SET TIME ZONE DEFAULT", "reset(timezone)"},
      {"SET TIME ZONE -7.5", "set(timezone|-7.5)"},
      {"SET LOCAL TIME ZONE 'UTC'", "set_local(timezone|'UTC')"},
      {"SET TIME ZONE INTERVAL '-8' HOUR TO MINUTE", "unknown(timezone|SET TIME ZONE INTERVAL '-8' HOUR TO MINUTE)"},
      {"SET NAMES 'utf8'", "set(client_encoding|'utf8')"},
      {"SET NAMES DEFAULT", "reset(client_encoding)"},
      {"SET NAMES", "reset(client_encoding)"},
      {"SET SCHEMA 'a'", "set(search_path|'a')"},
      {"SET XML OPTION DOCUMENT", "set(xmloption|DOCUMENT)"},
      {"SET CONSTRAINTS ALL DEFERRED", ""},
      {"SET ROLE bob", "set_role(role|bob)"},
      {"SET ROLE NONE", "set_role(role|NONE)"},
      {"SET LOCAL ROLE bob", "set_local(role|bob)"},
      {"SET role = 'bob'", "set_role(role|'bob')"},
      {"SET SESSION AUTHORIZATION bob", "set_role(session_authorization|bob)"},
      {"SET SESSION SESSION AUTHORIZATION bob", "set_role(session_authorization|bob)"},
      {"SET LOCAL SESSION AUTHORIZATION bob", "set_local(session_authorization|bob)"},
      {"SET SESSION AUTHORIZATION DEFAULT", "set_role(session_authorization)"},
      {"RESET SESSION AUTHORIZATION", "set_role(session_authorization)"},
      {"RESET ROLE", "set_role(role)"},
      {"RESET x", "reset(x)"},
      {"RESET my.Var", "reset(my.var)"},
      {"RESET TIME ZONE", "reset(timezone)"},
      {"RESET ALL", "reset_all"},
      {"SET TRANSACTION READ ONLY", "set_transaction(read only|SET TRANSACTION READ ONLY)"},
      {"SET LOCAL TRANSACTION READ WRITE", "set_transaction(read write|SET LOCAL TRANSACTION READ WRITE)"},
      {"SET TRANSACTION SNAPSHOT '1'", "set_transaction(|SET TRANSACTION SNAPSHOT '1')"},
      {"SET transaction_read_only = on", "set_transaction(read only|on)"},
      {"SET LOCAL transaction_read_only TO 'yes'", "set_transaction(read only|'yes')"},
      {"SET transaction_read_only = off", "set_transaction(read write|off)"},
      {"SET transaction_read_only = o", "set_transaction(read write|o)"},
      {"SET transaction_isolation = 'serializable'", "set_transaction(|'serializable')"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
       "set_characteristics(read only|SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY)"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
       "set(default_transaction_isolation|'serializable')"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL Repeatable  READ, NOT DEFERRABLE",
       "set(default_transaction_isolation|'repeatable read') set(default_transaction_deferrable|off)"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE DEFERRABLE ISOLATION LEVEL READ COMMITTED",
       "set(default_transaction_isolation|'read committed') set(default_transaction_deferrable|on) "
       "set_characteristics(read write|SET "
       "SESSION CHARACTERISTICS AS TRANSACTION READ WRITE DEFERRABLE ISOLATION LEVEL READ COMMITTED)"},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION",
       "set_characteristics(|SET SESSION CHARACTERISTICS AS TRANSACTION)"},
      {"SET default_transaction_read_only = on", "set(default_transaction_read_only|on)"},
      {"SET x FROM CURRENT", "unknown(set|SET x FROM CURRENT)"},
      {"SET x", "unknown(set|SET x)"},
      {"SET", "unknown(set|SET)"},
      {"RESET", "unknown(reset|RESET)"},
      {"SET x = ", "unknown(set|SET x =)"},
      {"UPDATE t SET x = 1", ""},
      {"ALTER ROLE a SET x = 1", ""},
      {"ALTER FUNCTION f() SET search_path = a", ""},
  });
}

TEST(StateWatch, session_objects) {
  check({
      {"DISCARD ALL", "discard_all"},
      {"DISCARD PLANS", "discard_other(plans)"},
      {"PREPARE p AS SELECT 1", "prepare(p|PREPARE p AS SELECT 1)"},
      {"PREPARE transaction AS SELECT 1", "prepare(transaction|PREPARE transaction AS SELECT 1)"},
      {"EXECUTE p(1)", ""},
      {"DEALLOCATE p", "deallocate(p)"},
      {"DEALLOCATE PREPARE \"P\"", "deallocate(P)"},
      {"DEALLOCATE prepare", "deallocate(prepare)"},
      {"DEALLOCATE ALL", "deallocate_all"},
      {"DEALLOCATE PREPARE ALL", "deallocate_all"},
      {"DEALLOCATE \"all\"", "deallocate(all)"},
      {"LISTEN News", "listen(news)"},
      {"UNLISTEN news", "unlisten(news)"},
      {"UNLISTEN *", "unlisten_all"},
      {"NOTIFY news", "notify(news)"},
      {"LOAD 'auto_explain'", "load(|'auto_explain')"},
      {"DECLARE c CURSOR FOR SELECT 1", ""},
      {"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "hold_cursor(c)"},
      {"DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", ""},
      {"DO $$ BEGIN END $$", "unknown(do)"},
      {"CALL p()", "unknown(call)"},
      {"CREATE TEMP TABLE t()", "temp_object"},
      {"create local temporary table t()", "temp_object"},
      {"CREATE OR REPLACE TEMP VIEW v AS SELECT 1", "temp_object"},
      {"SELECT 1 INTO TEMP t", "temp_object"},
      {"SELECT 1 INTO TEMPORARY TABLE t", "temp_object"},
      {"WITH a AS (SELECT 1) SELECT * INTO TEMP t FROM a", "temp_object"},
      {"EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", "temp_object"},
      {"CREATE TABLE pg_temp.t()", "temp_object(pg_temp)"},
      {"CREATE TABLE \"pg_temp\".t()", "temp_object(pg_temp)"},
      {"SELECT * FROM pg_temp_3.t", "temp_object(pg_temp_3)"},
      {"SET search_path = pg_temp", "temp_object(pg_temp) set(search_path|pg_temp)"},
      {"INSERT INTO temp VALUES (1)", ""},
      {"SELECT temp FROM weather", ""},
      {"SELECT 'CREATE TEMP TABLE t()'", ""},
  });
}

TEST(StateWatch, functions) {
  check({
      {"SELECT set_config('a', 'b', f())", "set_config(set_config)"},
      {"SELECT \"SET_CONFIG\"('a', 'b', true)", ""},
      {"SELECT 'set_config'", ""},
      {"SELECT pg_advisory_lock(1)", "advisory_lock(pg_advisory_lock)"},
      {"SELECT pg_advisory_lock_shared(1)", "advisory_lock(pg_advisory_lock_shared)"},
      {"SELECT pg_try_advisory_lock(1)", "advisory_lock(pg_try_advisory_lock)"},
      {"SELECT pg_notify('a', 'b')", "notify(pg_notify)"},
      {"SELECT pg_catalog.PG_NOTIFY($1, $2)", "notify(pg_notify)"},
      {"NOTIFY Jobs, 'x'", "notify(jobs)"},
      {"SELECT pg_notification_queue_usage()", ""},
      {"SELECT pg_advisory_unlock(1)", "advisory_unlock(pg_advisory_unlock)"},
      {"SELECT pg_advisory_unlock_all()", "advisory_unlock(pg_advisory_unlock_all)"},
      {"SELECT pg_advisory_xact_lock(1)", ""},
      {"SELECT pg_try_advisory_xact_lock(1)", ""},
      {"SELECT setseed(0.5)", "unknown(setseed)"},
      {"SELECT dblink_connect('x')", "unknown(dblink_connect)"},
      {"SELECT query_to_xml('select set_config(1)', true, true, '')", "unknown(query_to_xml)"},
      {"SELECT pg_create_logical_replication_slot('a', 'b', true)", "unknown(pg_create_logical_replication_slot)"},
      {"SELECT pg_replication_origin_session_setup('a')", "unknown(pg_replication_origin_session_setup)"},
      {"INSERT INTO t SELECT pg_advisory_lock(1)", "advisory_lock(pg_advisory_lock)"},
      {"COPY (SELECT set_config('a','b',false)) TO STDOUT", "set_config(set_config)"},
      {"SELECT U&\"set\\005fconfig\"('a','b',false)", "unknown(identifier with unicode escapes)"},
      {"PREPARE p AS SELECT set_config('a','b',false)",
       "set_config(set_config) prepare(p|PREPARE p AS SELECT set_config('a','b',false))"},
  });
}

TEST(StateWatch, words_are_words_only_where_the_server_sees_them) {
  check({
      {"SELECT 'it''s'; SET x = 1", "set(x|1)"},
      {"SELECT 'a;SET x = 1;'", ""},
      {"SELECT \"a;SET x = 1;\"\"\"", ""},
      {"SELECT E'a\\';SET x = 1;'", ""},
      {"SELECT 'a\\'; SET x = 1", "set(x|1)"},
      {"SELECT e'a'\n'b\\';SET x = 1;'", ""},
      {"SELECT e'a' -- c\n  'b\\';SET x = 1;'", ""},
      {"SELECT e'a' 'b\\'; SET x = 1", "set(x|1)"},
      {"SELECT $$a';SET x = 1;$$", ""},
      {"SELECT $a$ $$;SET x = 1; $b$ $a$; SET y = 2", "set(y|2)"},
      {"SELECT a$b$ ; SET x = 1; SELECT c$b$", "set(x|1)"},
      {"SELECT $1; SET x = $2", "set(x|$2)"},
      {"SELECT 1 -- ; SET x = 1", ""},
      {"SELECT 1 -- '\n; SET x = 1", "set(x|1)"},
      {"SELECT 1 /* /* */ ; SET x = 1; */", ""},
      {"SELECT 1 /* ' */; SET x = 1", "set(x|1)"},
      {"SELECT U&'a\\' ; SET x = 1", "set(x|1)"},
      {"SELECT B'1', x'1F', n'a\\' ; SET x = 1", "set(x|1)"},
      {"SELECT name'a\\' ; SET x = 1", "set(x|1)"},
      {"SELECT 1*/**/2; SET x = 1", "set(x|1)"},
      {"SELECT 1into temp t", "temp_object"},
      {"((SELECT 1))", ""},
      {"CREATE RULE r AS ON INSERT TO t DO ALSO (UPDATE a SET b = 1; DELETE FROM c); SET x = 1", "set(x|1)"},
      {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END; SET x = 1",
       "set(x|1)"},
      {"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 AS case; END; SET x = 1", "set(x|1)"},
      {"CREATE TABLE begin (atomic int); SET x = 1", "set(x|1)"},
      {";;; SET x = 1 ;;", "set(x|1)"},
      {"settle down", ""},
      {"begins", ""},
      {"set_x = 1", ""},
  });
}

TEST(StateWatch, what_does_not_end_is_unknown) {
  for (const std::string_view sql :
       {"SELECT 'a", "SELECT \"a", "SELECT $$a", "SELECT $a$ $$", "SELECT /* a", "SELECT /*/*a*/", "SELECT e'a\\'",
        "SELECT e'a\\", "SELECT U&\"a", "'", "\"", "$$", "/*", "e'", "SELECT '\" \"", "SELECT \"' '", "SELECT '\"' \"",
        "SELECT e'a'\n'b"}) {
    EXPECT_EQ(said(watch_state(sql)), "unknown(unterminated literal or comment)") << sql;
    EXPECT_TRUE(may_touch_state(sql)) << sql;
  }
}

TEST(StateWatch, the_bound) {
  const std::string longest(watch_bytes_max, 'x');
  EXPECT_TRUE(watch_state(longest).effects.empty());
  EXPECT_FALSE(may_touch_state(longest));
  EXPECT_EQ(watch_state(longest + "x").effects.at(0).kind, EffectKind::unknown);
  EXPECT_TRUE(may_touch_state(longest + "x"));
}

TEST(StateWatch, counts_statements) {
  struct Count {
    std::string_view sql;
    std::uint32_t statements;
  };
  for (const Count& row : {Count{"", 0}, Count{" ; ;; ", 0}, Count{"-- only a comment", 0}, Count{"SELECT 1", 1},
                           Count{"SELECT 1;", 1}, Count{"SELECT 1; SELECT 2", 2}, Count{"SELECT ';'; ;SELECT 2;", 2}}) {
    EXPECT_EQ(watch_state(row.sql).statements, row.statements) << row.sql;
  }
}

// The usual statements must not reach the lexer at all: this is the path of every query.
TEST(StateWatch, the_quick_look_lets_the_usual_pass) {
  for (const std::string_view sql : {
           "",
           ";",
           "SELECT 1",
           "SELECT 1;",
           "SELECT abalance FROM pgbench_accounts WHERE aid = 1234567;",
           "UPDATE pgbench_tellers SET tbalance = tbalance + -123 WHERE tid = 7;",
           "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 2, 3, -4, CURRENT_TIMESTAMP);",
           "DELETE FROM t WHERE name = 'it''s'",
           "SELECT \"public\".\"User\".\"id\" FROM \"public\".\"User\" WHERE \"id\" = $1",
           "WITH a AS (SELECT now() - interval '1 day' AS t) SELECT * FROM a",
           "select a/b, a-1, c&1 from t",
           "EXECUTE p(1)",
           "FETCH 10 FROM c",
           "COPY t FROM STDIN",
       }) {
    EXPECT_FALSE(may_touch_state(sql)) << sql;
  }
}

// A trigger must be seen wherever it stands against the sixteen byte blocks of the quick look.
TEST(StateWatch, the_quick_look_sees_every_trigger_at_every_place) {
  for (const std::string_view trigger : {"set_config(a,b,c)",
                                         "SET_CONFIG(a,b,c)",
                                         "pg_temp.x",
                                         "PG_ADVISORY_LOCK(1)",
                                         "pg_try_advisory_lock_shared(1)",
                                         "pg_advisory_unlock_all()",
                                         "pg_notify('a', 'b')",
                                         "setseed(1)",
                                         "SetSeed(1)",
                                         "dblink_connect_u(1)",
                                         "query_to_xmlschema(1)",
                                         "pg_replication_origin_session_reset()",
                                         "pg_copy_logical_replication_slot(1)",
                                         "pg_create_physical_replication_slot(1)",
                                         "U&\"x\"",
                                         "'",
                                         "\"",
                                         "$$",
                                         "/*",
                                         "; SET x = 1",
                                         "1 INTO TEMP t",
                                         "E'\\'"}) {
    for (std::size_t before = 0; before < 40; ++before) {
      for (const std::size_t after : {0U, 1U, 15U, 16U, 17U, 33U}) {
        const std::string sql = "SELECT " + std::string(before, ' ') + std::string(trigger) + std::string(after, ' ');
        ASSERT_FALSE(watch_state(sql).effects.empty()) << sql;
        EXPECT_TRUE(may_touch_state(sql)) << sql;
      }
    }
  }
}

}  // namespace
}  // namespace turnout::protocol::pg
