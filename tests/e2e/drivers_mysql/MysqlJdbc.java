// MariaDB Connector/J 2.7: texts with the values written in by the driver, statements prepared on the server, results with a
// fetch size, batches, generated keys, cancel. The rules are in mysql_dbapi.py.
import java.io.ByteArrayInputStream;
import java.io.StringReader;
import java.math.BigDecimal;
import java.nio.file.*;
import java.security.MessageDigest;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;

public class MysqlJdbc {
  interface Body { Object run(Connection connection) throws Exception; }
  interface Deed { Object run() throws Exception; }

  static final Map<String, Body> scenarios = new LinkedHashMap<>();
  static Map<String, Object> shared;

  static Connection open(String more) throws SQLException { return open(System.getenv("MYSQL_DATABASE"), more); }
  static Connection open(String database, String more) throws SQLException { return open(database, more, System.getenv("MYSQL_PASSWORD")); }
  static Connection open(String database, String more, String password) throws SQLException {
    return DriverManager.getConnection("jdbc:mariadb://" + System.getenv("MYSQL_HOST") + ":" + System.getenv("MYSQL_PORT") + "/" + database + "?tinyInt1isBit=false&serverTimezone=UTC&allowPublicKeyRetrieval=true" + more,
      System.getenv("MYSQL_USER"), password);
  }

  // ---- JSON, just enough

  static String json(Object value) {
    if (value == null) return "null";
    if (value instanceof Number || value instanceof Boolean) return value.toString();
    if (value instanceof byte[]) {
      StringBuilder hex = new StringBuilder();
      for (byte b : (byte[]) value) hex.append(String.format("%02x", b));
      return json(hex.toString());
    }
    if (value instanceof Object[]) return json(Arrays.asList((Object[]) value));
    if (value instanceof Collection) {
      StringJoiner joiner = new StringJoiner(", ", "[", "]");
      for (Object item : (Collection<?>) value) joiner.add(json(item));
      return joiner.toString();
    }
    if (value instanceof Map) {
      StringJoiner joiner = new StringJoiner(", ", "{", "}");
      for (Map.Entry<?, ?> item : ((Map<?, ?>) value).entrySet()) joiner.add(json(item.getKey()) + ": " + json(item.getValue()));
      return joiner.toString();
    }
    StringBuilder out = new StringBuilder("\"");
    for (char c : value.toString().toCharArray()) {
      if (c == '"' || c == '\\') out.append('\\').append(c);
      else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
      else out.append(c);
    }
    return out.append('"').toString();
  }

  // Of the file of statements: objects, lists, strings, numbers and null.
  static class Parser {
    final String text;
    int at = 0;
    Parser(String text) { this.text = text; }
    char next() { while (Character.isWhitespace(text.charAt(at)) || text.charAt(at) == ',' || text.charAt(at) == ':') at++; return text.charAt(at); }
    Object value() {
      char first = next();
      if (first == '{') {
        Map<String, Object> map = new LinkedHashMap<>();
        for (at++; next() != '}'; ) { String name = (String) value(); map.put(name, value()); }
        at++;
        return map;
      }
      if (first == '[') {
        List<Object> all = new ArrayList<>();
        for (at++; next() != ']'; ) all.add(value());
        at++;
        return all;
      }
      if (first == '"') {
        StringBuilder made = new StringBuilder();
        for (at++; text.charAt(at) != '"'; at++) {
          if (text.charAt(at) != '\\') { made.append(text.charAt(at)); continue; }
          char escaped = text.charAt(++at);
          if (escaped == 'u') { made.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16)); at += 4; }
          else made.append(escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped);
        }
        at++;
        return made.toString();
      }
      int begin = at;
      while ("-+.eE".indexOf(text.charAt(at)) >= 0 || Character.isLetterOrDigit(text.charAt(at))) at++;
      String word = text.substring(begin, at);
      return word.equals("null") ? null : new BigDecimal(word);
    }
  }

  // ---- words

  static Object told(SQLException error) { return Map.of("error", Arrays.asList(error.getErrorCode(), error.getSQLState(), error.getMessage().replaceAll("conn=-?\\d+", "conn=N").replaceAll("port=\\d+", "port=N").split("\n")[0], error.getClass().getSimpleName())); }
  static Object refusal(Deed deed) throws Exception {
    try { return deed.run(); } catch (SQLException error) { return told(error); }
  }

  static Object shown(ResultSet rows, int at) throws SQLException {
    Object value = rows.getObject(at);
    if (value == null || value instanceof Number || value instanceof Boolean || value instanceof byte[]) return value;
    if (value instanceof Blob) return ((Blob) value).getBytes(1, (int) ((Blob) value).length());
    return value.getClass().getSimpleName() + " " + rows.getString(at);
  }

  static Object result(ResultSet rows) throws SQLException {
    ResultSetMetaData about = rows.getMetaData();
    List<Object> columns = new ArrayList<>(), seen = new ArrayList<>();
    for (int at = 1; at <= about.getColumnCount(); at++)
      columns.add(Arrays.asList(about.getColumnLabel(at), about.getColumnName(at), about.getTableName(at), about.getColumnTypeName(at), about.getPrecision(at), about.getScale(at), about.isNullable(at),
        about.isSigned(at), about.isAutoIncrement(at), about.getColumnClassName(at)));
    while (rows.next()) {
      List<Object> row = new ArrayList<>();
      for (int at = 1; at <= about.getColumnCount(); at++) {
        try { row.add(shown(rows, at)); } catch (SQLException error) { row.add(told(error)); }
      }
      seen.add(row);
    }
    rows.close();
    return Arrays.asList(columns, seen);
  }

  static Object warnings(Statement statement) throws SQLException {
    List<Object> seen = new ArrayList<>();
    for (SQLWarning warning = statement.getWarnings(); warning != null; warning = warning.getNextWarning()) seen.add(told(warning));
    return seen;
  }

  // All that a statement answers: each result, then an error if there is one.
  static List<Object> all(Statement statement, boolean hasRows) throws SQLException {
    List<Object> seen = new ArrayList<>();
    try {
      while (hasRows || statement.getUpdateCount() != -1) {
        if (hasRows) {
          seen.add(result(statement.getResultSet()));
        } else {
          List<Object> keys = new ArrayList<>();
          try (ResultSet made = statement.getGeneratedKeys()) { while (made.next()) keys.add(made.getLong(1)); }
          seen.add(Arrays.asList(statement.getUpdateCount(), keys));
        }
        hasRows = statement.getMoreResults();
      }
    } catch (SQLException error) {
      seen.add(told(error));
    }
    seen.add(warnings(statement));
    return seen;
  }

  static Object ask(Connection on, String text) throws Exception {
    try (Statement statement = on.createStatement()) {
      return refusal(() -> all(statement, statement.execute(text, Statement.RETURN_GENERATED_KEYS)));
    }
  }

  static Object run(Connection on, String text, Object... bound) throws Exception {
    return refusal(() -> {
      try (PreparedStatement statement = on.prepareStatement(text, Statement.RETURN_GENERATED_KEYS)) {
        for (int at = 0; at < bound.length; at++) statement.setObject(at + 1, bound[at]);
        return all(statement, statement.execute());
      }
    });
  }

  static long number(Connection on, String text) throws SQLException {
    try (Statement statement = on.createStatement(); ResultSet rows = statement.executeQuery(text)) { rows.next(); return rows.getLong(1); }
  }

  // ---- scenarios

  static Object commits(Connection db) throws Exception {
    ask(db, "TRUNCATE TABLE items");
    db.setAutoCommit(false);
    run(db, "INSERT INTO items VALUES (?, ?)", 1, "committed"); db.commit();
    run(db, "INSERT INTO items VALUES (?, ?)", 2, "rolled back"); db.rollback();
    run(db, "INSERT INTO items VALUES (?, ?)", 3, "kept");
    Savepoint point = db.setSavepoint("s"); run(db, "INSERT INTO items VALUES (?, ?)", 4, "given up"); db.rollback(point);
    List<Object> seen = new ArrayList<>();
    seen.add(run(db, "INSERT INTO items VALUES (?, ?)", 3, "again"));
    db.commit();
    db.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
    seen.add(db.getTransactionIsolation()); seen.add(ask(db, "SELECT @@tx_isolation"));
    db.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
    db.rollback();
    db.setAutoCommit(true);
    seen.add(ask(db, "SELECT id, name, in_transaction(), @@autocommit FROM items ORDER BY id")); seen.add(db.isValid(5));
    return seen;
  }

  static Object prepared(Connection db) throws Exception { try (Connection mine = open("&useServerPrepStmts=true")) { return bound(mine, true); } }
  static Object written(Connection db) throws Exception { return bound(db, false); }

  @SuppressWarnings("unchecked")
  static Object bound(Connection db, boolean many) throws Exception {
    List<Object> seen = new ArrayList<>();
    try (PreparedStatement statement = db.prepareStatement("SELECT ? * 2 + 1")) {
      for (int number = 0; number < 25; number++) { statement.setInt(1, number); try (ResultSet rows = statement.executeQuery()) { rows.next(); seen.add(rows.getString(1)); } }
    }
    List<PreparedStatement> statements = new ArrayList<>();
    for (int number = 0; number < 60; number++) statements.add(db.prepareStatement("SELECT ? + " + number));
    for (int turn = 0; turn < 2; turn++)
      for (PreparedStatement one : statements) { one.setInt(1, turn); try (ResultSet rows = one.executeQuery()) { rows.next(); seen.add(rows.getString(1)); } }
    for (PreparedStatement one : statements) one.close();
    for (Object value : new Object[] {null, true, -1, 1L << 62, 1.5, new BigDecimal("1.50"), "Größe ≠ 漢字 🙂 '\"\\%\n", "", new byte[] {0, -1, 39, 92}, Timestamp.valueOf("2024-02-29 12:34:56.789012"),
      java.sql.Date.valueOf("2024-02-29"), Time.valueOf("12:34:56"), "x".repeat(70000)}) seen.add(run(db, "SELECT HEX(?), ? IS NULL", value, value));
    int at = 100;
    for (Object each : (List<Object>) shared.get("parameters")) {
      Map<String, Object> row = (Map<String, Object>) each;
      List<Object> values = new ArrayList<>(List.of(at++));
      values.addAll(row.values());
      seen.add(run(db, "INSERT INTO typed (id, " + String.join(", ", row.keySet()) + ") VALUES (?" + ", ?".repeat(row.size()) + ")", values.toArray()));
    }
    seen.add(run(db, "SELECT * FROM typed WHERE id >= ? ORDER BY id", 100));
    seen.add(run(db, "DELETE FROM typed WHERE id >= ?", 100));
    for (String text : new String[] {"SELECT nonsense", "SELECT * FROM nowhere", "SELEC", "INSERT INTO children VALUES (1, 4711)", "SELECT 1/0", "DROP TABLE IF EXISTS nowhere", "CALL two_results()", "CALL fails()",
      "SET @s = 5", "SELECT @s", "SET @s = NULL"}) seen.add(run(db, text));
    try (PreparedStatement stream = db.prepareStatement("SELECT LENGTH(?), MD5(?)")) {
      stream.setBinaryStream(1, new ByteArrayInputStream(new byte[100000]));
      stream.setCharacterStream(2, new StringReader("piece".repeat(30000)));
      seen.add(result(stream.executeQuery()));
    }
    return seen;
  }

  static Object batch(Connection db) throws Exception {
    List<Object> seen = new ArrayList<>();
    for (String options : new String[] {"", "&useServerPrepStmts=true", "&rewriteBatchedStatements=true", "&useServerPrepStmts=true&useBulkStmts=true", "&useBatchMultiSend=false", "&allowMultiQueries=true"}) {
      try (Connection mine = open(options)) {
        ask(mine, "TRUNCATE TABLE entries");
        try (PreparedStatement statement = mine.prepareStatement("INSERT INTO entries (name, n) VALUES (?, ?)", Statement.RETURN_GENERATED_KEYS)) {
          for (int number = 0; number < 300; number++) { statement.setString(1, "row " + number); if (number % 7 == 0) statement.setNull(2, Types.INTEGER); else statement.setInt(2, number); statement.addBatch(); }
          int sum = 0;
          for (int count : statement.executeBatch()) sum += count;
          long keys = 0;
          try (ResultSet made = statement.getGeneratedKeys()) { while (made.next()) keys += made.getLong(1); }
          seen.add(List.of(sum, keys));
        }
        seen.add(refusal(() -> {
          try (Statement statement = mine.createStatement()) {
            for (String text : new String[] {"UPDATE entries SET n = 1 WHERE id < 9", "INSERT INTO entries (id, name) VALUES (1, 'again')", "DELETE FROM entries WHERE id = 2"}) statement.addBatch(text);
            List<Object> counts = new ArrayList<>();
            for (int count : statement.executeBatch()) counts.add(count);
            return counts;
          }
        }));
        seen.add(ask(mine, "SELECT COUNT(*), SUM(id), SUM(n), MAX(name) FROM entries"));
      }
    }
    return seen;
  }

  static Object procedures_called(Connection db) throws Exception {
    try (CallableStatement call = db.prepareCall("{call adds(?, ?)}"); CallableStatement function = db.prepareCall("{? = call doubled(?)}")) {
      call.setInt(1, 41); call.registerOutParameter(2, Types.INTEGER);
      Object rows = call.execute() ? result(call.getResultSet()) : null;
      function.registerOutParameter(1, Types.INTEGER); function.setInt(2, 21); function.execute();
      return Arrays.asList(rows, call.getInt(2), function.getInt(1));
    }
  }

  static Object multi(Connection db) throws Exception {
    List<Object> seen = new ArrayList<>();
    try (Connection mine = open("&allowMultiQueries=true")) {
      for (String text : new String[] {"SELECT 1; SELECT 'ä', 2; DO 1; SELECT 3", "TRUNCATE TABLE items; INSERT INTO items VALUES (1, 'a'), (2, 'b'); SELECT COUNT(*) FROM items", "SELECT 1; SELECT nonsense; SELECT 2",
        "BEGIN; SELECT in_transaction()", "ROLLBACK; SELECT in_transaction()", "CALL two_results(); SELECT 1", "SET @a = 7; SELECT @a; USE other; SELECT DATABASE()", "SELECT @a, DATABASE()"}) seen.add(ask(mine, text));
    }
    return seen;
  }

  static Object large(Connection db) throws Exception {
    List<Object> seen = new ArrayList<>();
    for (String options : new String[] {"", "&useServerPrepStmts=true"})
      try (Connection mine = open(options)) {
        for (int size : new int[] {5_000_000, 15_000_000}) {
          byte[] body = new byte[size];
          for (int at = 0; at < size; at++) body[at] = (byte) (at % 251);
          run(mine, "REPLACE INTO large VALUES (?, ?)", 1, body);
          try (PreparedStatement statement = mine.prepareStatement("SELECT LENGTH(body), body FROM large WHERE id = ?")) {
            statement.setInt(1, 1);
            ResultSet rows = statement.executeQuery();
            rows.next();
            seen.add(List.of(rows.getInt(1), Arrays.equals(rows.getBytes(2), body)));
          }
        }
      }
    seen.add(ask(db, "TRUNCATE TABLE large"));
    return seen;
  }

  static Object streaming(Connection db) throws Exception {
    List<Object> seen = new ArrayList<>();
    for (String options : new String[] {"", "&useServerPrepStmts=true"})
      try (Connection mine = open(options); PreparedStatement statement = mine.prepareStatement("SELECT seq, REPEAT('x', 500) FROM seq_1_to_20000")) {
        statement.setFetchSize(70);
        long sum = 0;
        try (ResultSet rows = statement.executeQuery()) { while (rows.next()) sum += rows.getInt(1) + rows.getString(2).length(); }
        try (ResultSet rows = statement.executeQuery()) { rows.next(); seen.add(List.of(sum, rows.getInt(1))); }  // the rest is read away
        seen.add(ask(mine, "SELECT 'usable'"));
      }
    return seen;
  }

  // Connector/J asks for KILL QUERY on a connection of its own.
  static Object cancel(Connection db) throws Exception {
    List<Object> seen = new ArrayList<>();
    try (Connection mine = open(""); Statement statement = mine.createStatement()) {
      String text = "SELECT SLEEP(30), 'victim of Java'";
      ExecutorService aside = Executors.newSingleThreadExecutor();
      Future<Object> running = aside.submit(() -> refusal(() -> result(statement.executeQuery(text))));
      String count = "SELECT COUNT(*) FROM information_schema.processlist WHERE info = '" + text.replace("'", "''") + "'";
      for (int turn = 0; turn < 2000 && number(db, count) != 1; turn++) Thread.sleep(10);
      seen.add(number(db, count));
      statement.cancel();
      seen.add(running.get());
      seen.add(ask(mine, "SELECT 'usable'"));
      statement.setQueryTimeout(1);
      seen.add(refusal(() -> result(statement.executeQuery("SELECT SLEEP(20)"))));
      seen.add(ask(mine, "SELECT 'usable'"));
      aside.shutdown();
    }
    return seen;
  }

  static Object metadata(Connection db) throws Exception {
    DatabaseMetaData about = db.getMetaData();
    List<Object> seen = new ArrayList<>(Arrays.asList(about.getDatabaseProductName(), about.getDatabaseProductVersion(), about.getDriverName(), db.getCatalog(), about.getIdentifierQuoteString()));
    for (ResultSet rows : new ResultSet[] {about.getTables("shop", null, "i%", null), about.getColumns("shop", null, "children", "%"), about.getPrimaryKeys("shop", null, "children"),
      about.getImportedKeys("shop", null, "children"), about.getProcedures("shop", null, "%")}) seen.add(result(rows));
    db.setCatalog("other"); seen.add(ask(db, "SELECT DATABASE(), name FROM things")); seen.add(refusal(() -> { db.setCatalog("no_such_database"); return null; }));
    db.setCatalog("shop"); db.setReadOnly(true); seen.add(ask(db, "SELECT @@tx_read_only")); db.setReadOnly(false);
    return seen;
  }

  static Object logins(Connection db) throws Exception {
    List<Object> seen = new ArrayList<>();
    for (String options : new String[] {"", "&sessionVariables=sort_buffer_size=300032,time_zone='+05:00'", "&useAffectedRows=true", "&autocommit=false", "&usePipelineAuth=false", "&useCompression=true",
      "&connectionAttributes=who:Java", "&jdbcCompliantTruncation=false", "&useSSL=false&initSql=1"})
      try (Connection mine = open(options)) {
        seen.add(ask(mine, "SELECT DATABASE(), @@sort_buffer_size, @@time_zone, @@sql_mode, @@autocommit, @@character_set_client, @@collation_connection"));
        seen.add(ask(mine, "UPDATE items SET name = name WHERE id > 0"));
      }
    for (String database : new String[] {"other", "", "no_such_database", "mysql"})
      seen.add(refusal(() -> { try (Connection mine = open(database, "")) { return ask(mine, "SELECT DATABASE()"); } }));
    seen.add(refusal(() -> { try (Connection mine = open("shop", "", "wrong")) { return "let in"; } }));
    return seen;
  }

  static Object parallel(Connection db) throws Exception {
    ExecutorService pool = Executors.newFixedThreadPool(16);
    List<Future<Object>> futures = new ArrayList<>();
    for (int each = 0; each < 16; each++) {
      final int number = each;
      futures.add(pool.submit(() -> {
        String zone = String.format("+%02d:00", number % 13);
        try (Connection mine = open(number % 3 == 0 ? "&useServerPrepStmts=true" : "")) {
          ask(mine, "SET sort_buffer_size = " + 1024 * (100 + number) + ", time_zone = '" + zone + "'");
          if (number % 2 == 1) ask(mine, "SET @mine = " + number);
          int total = 0;
          for (int turn = 0; turn < 10; turn++) {
            try (PreparedStatement statement = mine.prepareStatement("SELECT CONCAT_WS(',', @@sort_buffer_size, @@time_zone, COALESCE(@mine, 'none'), CAST(? * ? AS SIGNED))")) {
              statement.setInt(1, turn); statement.setInt(2, number);
              ResultSet rows = statement.executeQuery();
              rows.next();
              String wanted = 1024 * (100 + number) + "," + zone + "," + (number % 2 == 1 ? "" + number : "none") + "," + turn * number;
              if (!rows.getString(1).equals(wanted)) throw new IllegalStateException(rows.getString(1) + " instead of " + wanted);
            }
            mine.setAutoCommit(false);
            run(mine, "REPLACE INTO entries (id, name) VALUES (?, ?)", 1000 + number, "turn " + turn);
            if (!json(ask(mine, "SELECT nonsense" + number)).contains("1054")) throw new IllegalStateException("no error");
            if (turn % 2 == 1) mine.commit(); else mine.rollback();
            mine.setAutoCommit(true);
            total += turn * number;
          }
          return Arrays.asList(total, ask(mine, "SELECT name FROM entries WHERE id = " + (1000 + number)));
        }
      }));
    }
    List<Object> seen = new ArrayList<>();
    for (Future<Object> future : futures) seen.add(future.get());
    pool.shutdown();
    return seen;
  }

  // ---- the program

  @SuppressWarnings("unchecked")
  public static void main(String[] words) throws Exception {
    shared = (Map<String, Object>) new Parser(Files.readString(Path.of(System.getenv("DRIVER_STATEMENTS")))).value();
    for (Map.Entry<String, Object> each : ((Map<String, Object>) shared.get("scenarios")).entrySet())
      scenarios.put(each.getKey(), db -> { List<Object> seen = new ArrayList<>(); for (Object text : (List<Object>) each.getValue()) seen.add(ask(db, (String) text)); return seen; });
    scenarios.put("types", db -> {
      List<Object> seen = new ArrayList<>();
      try (Connection mine = open("&useServerPrepStmts=true")) { for (Object value : (List<Object>) shared.get("values")) seen.add(Arrays.asList(value, ask(db, "SELECT " + value + " AS v"), run(mine, "SELECT " + value + " AS v"))); }
      return seen;
    });
    scenarios.put("typed_rows", db -> {
      try (Connection mine = open("&useServerPrepStmts=true")) { return Arrays.asList(ask(db, "SELECT * FROM typed ORDER BY id"), run(mine, "SELECT * FROM typed ORDER BY id")); }
    });
    scenarios.put("commits", MysqlJdbc::commits);
    scenarios.put("prepared", MysqlJdbc::prepared);
    scenarios.put("written", MysqlJdbc::written);
    scenarios.put("batch", MysqlJdbc::batch);
    scenarios.put("procedures_called", MysqlJdbc::procedures_called);
    scenarios.put("multi", MysqlJdbc::multi);
    scenarios.put("large", MysqlJdbc::large);
    scenarios.put("streaming", MysqlJdbc::streaming);
    scenarios.put("cancel", MysqlJdbc::cancel);
    scenarios.put("metadata", MysqlJdbc::metadata);
    scenarios.put("logins", MysqlJdbc::logins);
    scenarios.put("parallel", MysqlJdbc::parallel);
    Connection connection = null;
    for (String name : words.length > 0 ? Arrays.asList(words) : new ArrayList<>(scenarios.keySet())) {
      String line = "{\"scenario\": " + json(name) + ", ";
      try {
        if (connection == null) connection = open("");
        line += "\"result\": " + json(scenarios.get(name).run(connection)) + "}";
      } catch (Throwable error) {
        error.printStackTrace();
        line += "\"error\": " + json(error.toString()) + "}";
        try { if (connection != null) connection.close(); } catch (SQLException late) { late.printStackTrace(); }
        connection = null;
      }
      System.out.write((line + "\n").getBytes("UTF-8"));
      System.out.flush();
    }
    if (connection != null) connection.close();
  }
}
