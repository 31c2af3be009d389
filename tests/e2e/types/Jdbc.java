// pgjdbc, server-side prepared and in binary from the first execution on. It remembers types and columns by their
// numbers, in each connection. Prints "round" after each round, and fails when a value or a name is wrong.
import java.sql.Array;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.util.Arrays;
import java.util.Properties;
import org.postgresql.util.PGobject;

public class Jdbc {
  static final String COLUMNS = "m, ms, s, ss, r, h, t, o";

  static Connection open(String port) throws Exception {
    Properties properties = new Properties();
    properties.setProperty("user", "app");
    properties.setProperty("sslmode", "disable");
    properties.setProperty("prepareThreshold", "-1");  // binary from the start
    return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + port + "/app", properties);
  }

  static void same(String what, Object got, Object expected) {
    if (!got.equals(expected)) throw new IllegalStateException(what + ": got " + got + ", not " + expected);
  }

  // Every value as text, with the name of its type and column as the driver knows them.
  static String row(PreparedStatement statement) throws Exception {
    StringBuilder text = new StringBuilder();
    try (ResultSet rows = statement.executeQuery()) {
      if (!rows.next()) throw new IllegalStateException("no row");
      ResultSetMetaData columns = rows.getMetaData();
      for (int i = 1; i <= columns.getColumnCount(); i++) {
        Object value = rows.getObject(i);
        Object shown = value instanceof Array ? Arrays.toString((Object[]) ((Array) value).getArray()) : value;
        text.append(columns.getColumnTypeName(i)).append(' ')
            .append(((org.postgresql.PGResultSetMetaData) columns).getBaseTableName(i)).append('.')
            .append(((org.postgresql.PGResultSetMetaData) columns).getBaseColumnName(i)).append(' ').append(shown).append('\n');
      }
    }
    return text.toString();
  }

  public static void main(String[] arguments) throws Exception {
    String port = arguments[0];
    int id = Integer.parseInt(arguments[1]);
    try (Connection keeper = open(port)) {
      PreparedStatement kept = keeper.prepareStatement("SELECT " + COLUMNS + " FROM typed WHERE id = ?");
      kept.setInt(1, id);
      String expected = row(kept);
      if (!expected.startsWith("mood typed.m ok\n") || !expected.contains("typed.ms [sad, null, happy]"))
        throw new IllegalStateException("at first: " + expected);
      for (int round = 0; !closed; round++) {
        Connection connection = round % 4 == 3 ? open(port) : keeper;
        PreparedStatement select = connection == keeper ? kept : connection.prepareStatement("SELECT " + COLUMNS + " FROM typed WHERE id = ?");
        select.setInt(1, id);
        same("row", row(select), expected);
        try (PreparedStatement update = connection.prepareStatement("UPDATE typed SET ms = ?, s = ?, m = ? WHERE id = ? RETURNING " + COLUMNS)) {
          update.setArray(1, connection.createArrayOf("mood", new String[] {"sad", null, "happy"}));
          PGobject spot = new PGobject();
          spot.setType("spot");
          spot.setValue("(happy,7,\"{ok,sad}\")");
          update.setObject(2, spot);
          PGobject mood = new PGobject();
          mood.setType("mood");
          mood.setValue("ok");
          update.setObject(3, mood);
          update.setInt(4, id);
          same("returned", row(update), expected);
        }
        if (connection != keeper) connection.close();
        System.out.println("round");
        System.out.flush();
        Thread.sleep(10);
      }
    }
  }

  // The test closes our input to end us.
  private static volatile boolean closed = false;

  static {
    Thread reader = new Thread(() -> {
      try {
        while (System.in.read() >= 0) {
        }
      } catch (java.io.IOException ignored) {
      }
      closed = true;
    });
    reader.setDaemon(true);
    reader.start();
  }
}
