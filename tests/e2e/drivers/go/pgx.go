// pgx v4, natively: everything prepared and binary, cached per connection, batches in one pipeline, types by name.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgtype"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

const owner = "pgx"

var (
	background = context.Background()
	connection *pgx.Conn
)

func open(more string) *pgx.Conn {
	opened, err := pgx.Connect(background, dsn(more+" work_mem=5MB"))
	must(err)
	return opened
}

func reset() {
	if connection != nil {
		connection.Close(background)
	}
	connection = open("")
}

type runner interface {
	Query(ctx context.Context, text string, arguments ...interface{}) (pgx.Rows, error)
	Exec(ctx context.Context, text string, arguments ...interface{}) (pgconn.CommandTag, error)
}

func collect(rows pgx.Rows, err error) (list, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := list{}
	for rows.Next() {
		row, err := rows.Values()
		if err != nil {
			return nil, err
		}
		for at := range row {
			row[at] = shown(row[at])
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

func rows(on runner, text string, arguments ...interface{}) list {
	found, err := collect(on.Query(background, text, arguments...))
	must(err)
	return found
}

func exec(on runner, text string, arguments ...interface{}) string {
	tag, err := on.Exec(background, text, arguments...)
	must(err)
	return tag.String()
}

func said(err error) list {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		return list{failure.Code, failure.Message, failure.ConstraintName, failure.Position}
	}
	return list{fmt.Sprint(err)}
}

func refusal(on runner, text string, arguments ...interface{}) list {
	_, err := collect(on.Query(background, text, arguments...))
	return said(err)
}

func empty() { exec(connection, "DELETE FROM drivers.items WHERE owner = $1", owner) }

func insert(on runner, number int, name string) {
	exec(on, "INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, $3)", owner, number, name)
}

func items() list {
	return rows(connection, "SELECT id, name FROM drivers.items WHERE owner = $1 ORDER BY id", owner)
}

func transactions() interface{} {
	empty()
	one, err := connection.Begin(background)
	must(err)
	insert(one, 1, "committed")
	nested, err := one.Begin(background)
	must(err)
	insert(nested, 2, "given up")
	must(nested.Rollback(background))
	must(one.BeginFunc(background, func(inner pgx.Tx) error { insert(inner, 3, "in a savepoint"); return nil }))
	must(one.Commit(background))
	back := connection.BeginFunc(background, func(inner pgx.Tx) error { insert(inner, 4, "rolled back"); return errors.New("back") })
	two, err := connection.BeginTx(background, pgx.TxOptions{IsoLevel: pgx.Serializable, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable})
	must(err)
	seen := list{rows(two, "SHOW transaction_isolation"), refusal(two, "INSERT INTO drivers.items (owner, id, name) VALUES ('nobody', 1, 'x')")}
	return append(seen, fmt.Sprint(two.Commit(background)), fmt.Sprint(back), items())
}

func prepared() interface{} {
	description, err := connection.Prepare(background, "twice", "SELECT $1::int4 * 2 + 1")
	must(err)
	repeated := list{}
	for number := 0; number < 25; number++ {
		repeated = append(repeated, rows(connection, "twice", number))
	}
	must(connection.Deallocate(background, "twice"))
	_, err = connection.Prepare(background, "twice", "SELECT $1::text")
	must(err)
	repeated = append(repeated, rows(connection, "twice", "prepared anew"))
	must(connection.Deallocate(background, "twice"))
	sum := 0
	for turn := 0; turn < 2; turn++ {
		for number := 0; number < 600; number += 1 { // more than its cache holds
			var value int
			must(connection.QueryRow(background, fmt.Sprintf("SELECT $1::int4 + %d", number), turn).Scan(&value))
			sum += value
		}
	}
	_, err = connection.Prepare(background, "broken", "SELECT nothing($1)")
	return list{description.ParamOIDs, repeated, sum, said(err)}
}

func modes() interface{} {
	seen := list{}
	for _, mode := range []string{"statement_cache_mode=describe", "statement_cache_capacity=0", "statement_cache_capacity=3"} {
		own := open(mode)
		for turn := 0; turn < 3; turn++ {
			for number := 0; number < 6; number++ {
				seen = append(seen, rows(own, fmt.Sprintf("SELECT $1::int4 + %d, $2::text", number), turn, "ü"))
			}
		}
		seen = append(seen, rows(own, "SELECT $1::int4, $2::text", pgx.QuerySimpleProtocol(true), 5, "it's"), refusal(own, "SELECT $1::int4/0", 1))
		own.Close(background)
	}
	return seen
}

func cursors() interface{} {
	transaction, err := connection.Begin(background)
	must(err)
	exec(transaction, "DECLARE walk SCROLL CURSOR FOR SELECT n, n * 3 FROM generate_series(1, 500) AS n")
	count := 0
	for {
		part := rows(transaction, "FETCH 70 FROM walk")
		count += len(part)
		if len(part) == 0 {
			break
		}
	}
	exec(transaction, "MOVE ABSOLUTE 50 FROM walk")
	jumped := rows(transaction, "FETCH 2 FROM walk")
	early, err := transaction.Query(background, "SELECT generate_series(1, 1000)")
	must(err)
	early.Next()
	early.Close()
	must(transaction.Commit(background))
	return list{count, jumped}
}

func heldCursors() interface{} {
	exec(connection, "BEGIN; DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 20); COMMIT")
	seen := list{rows(connection, "FETCH 3 FROM kept"), rows(connection, "FETCH 2 FROM kept"), exec(connection, "CLOSE kept")}
	return append(seen, refusal(connection, "FETCH 1 FROM kept"))
}

func copying() interface{} {
	empty()
	send := func(name interface{}) (int64, error) {
		source := make([][]interface{}, 2000)
		for row := range source {
			source[row] = list{owner, row, name}
		}
		return connection.CopyFrom(background, pgx.Identifier{"drivers", "items"}, []string{"owner", "id", "name"}, pgx.CopyFromRows(source))
	}
	sent, err := send("copied")
	must(err)
	var out bytes.Buffer
	tag, err := connection.PgConn().CopyTo(background, &out, "COPY (SELECT id, name FROM drivers.items WHERE owner = 'pgx' ORDER BY id) TO STDOUT")
	must(err)
	_, refused := send(nil)
	_, again := send("twice")
	return list{sent, tag.String(), out.Len(), said(refused), said(again), rows(connection, "SELECT 'usable'")}
}

func notify() interface{} {
	exec(connection, "LISTEN pgx_news")
	speaker := open("")
	for number := 0; number < 5; number++ {
		exec(speaker, "SELECT pg_notify('pgx_news', $1)", fmt.Sprintf("item %d", number))
	}
	speaker.Close(background)
	heard := list{}
	limited, done := context.WithTimeout(background, 20*time.Second)
	defer done()
	for len(heard) < 5 {
		notification, err := connection.WaitForNotification(limited)
		must(err)
		heard = append(heard, list{notification.Channel, notification.Payload})
	}
	exec(connection, "UNLISTEN *")
	return heard
}

func cancel() interface{} {
	begin := time.Now()
	time.AfterFunc(200*time.Millisecond, func() { connection.PgConn().CancelRequest(background) })
	seen := list{refusal(connection, "SELECT pg_sleep(30)")}
	own := open("")
	limited, done := context.WithTimeout(background, 200*time.Millisecond)
	defer done()
	_, err := own.Exec(limited, "SELECT pg_sleep(30)")
	return append(seen, err != nil, own.IsClosed(), time.Since(begin) < 20*time.Second, rows(connection, "SELECT 'usable'"))
}

func failures() interface{} {
	empty()
	seen := list{}
	for _, text := range []string{"SELEC 1", "SELECT 1/0", "SELECT * FROM nowhere", "SELECT nothing()", "SELECT 'x'::int",
		"INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)"} {
		seen = append(seen, refusal(connection, text), refusal(connection, text, pgx.QuerySimpleProtocol(true)))
	}
	insert(connection, 1, "first")
	transaction, err := connection.Begin(background)
	must(err)
	insert(transaction, 2, "lost with its transaction")
	seen = append(seen, refusal(transaction, "INSERT INTO drivers.items (owner, id, name) VALUES ($1, 1, 'again')", owner), refusal(transaction, "SELECT 1"))
	must(transaction.Rollback(background))
	return append(seen, items(), rows(connection, "SELECT 'usable'"))
}

func typed() interface{} {
	seen := list{}
	for _, value := range values {
		seen = append(seen, list{value, rows(connection, "SELECT "+value)})
	}
	return append(seen, rows(connection, "SELECT $1::int8, $2::text, $3::bytea, $4::int4[], $5::text[], $6::int4, $7::timestamptz, $8::jsonb", int64(1)<<40, "ü",
		[]byte{0, 1}, []int32{1, 2}, []string{"x", "y"}, nil, time.Unix(86400, 0), map[string]int{"a": 1}))
}

func userTyped() interface{} {
	own := open("")
	defer own.Close(background)
	seen := list{}
	for _, value := range userValues {
		seen = append(seen, list{value, rows(own, "SELECT CAST("+value+" AS text)")})
	}
	// Registered by name with the OIDs of now, as programs do at their start.
	var colour, spot uint32
	must(own.QueryRow(background, "SELECT 'drivers.colour'::regtype::oid, 'drivers.spot'::regtype::oid").Scan(&colour, &spot))
	enum := pgtype.NewEnumType("colour", []string{"red", "green", "blue"})
	own.ConnInfo().RegisterDataType(pgtype.DataType{Value: enum, Name: "colour", OID: colour})
	composite, err := pgtype.NewCompositeType("spot", []pgtype.CompositeTypeField{{Name: "x", OID: pgtype.Int4OID}, {Name: "y", OID: pgtype.Int4OID},
		{Name: "label", OID: pgtype.TextOID}}, own.ConnInfo())
	must(err)
	own.ConnInfo().RegisterDataType(pgtype.DataType{Value: composite, Name: "spot", OID: spot})
	for turn := 0; turn < 3; turn++ {
		seen = append(seen, rows(own, "SELECT 'red'::drivers.colour, ROW(1, 2, 'a b')::drivers.spot, $1::drivers.colour", "green"))
	}
	return seen
}

func batch() interface{} {
	empty()
	seen := list{}
	send := func(fill func(queue *pgx.Batch)) {
		queue := &pgx.Batch{}
		fill(queue)
		results := connection.SendBatch(background, queue)
		for number := 0; number < queue.Len(); number++ {
			tag, err := results.Exec()
			if number%40 == 0 || err != nil {
				seen = append(seen, list{number, tag.String(), said(err)[0]})
			}
		}
		seen = append(seen, said(results.Close())[0])
	}
	send(func(queue *pgx.Batch) {
		for number := 0; number < 100; number++ {
			queue.Queue("INSERT INTO drivers.items (owner, id, name) VALUES ($1, $2, 'batch')", owner, number)
		}
		queue.Queue("SELECT count(*) FROM drivers.items WHERE owner = $1", owner)
	})
	send(func(queue *pgx.Batch) { // one implicit transaction: nothing of it stays
		queue.Queue("INSERT INTO drivers.items (owner, id, name) VALUES ($1, 500, 'never')", owner)
		queue.Queue("SELECT 1/0")
		queue.Queue("SELECT 2")
	})
	return append(seen, rows(connection, "SELECT count(*), sum(id) FROM drivers.items WHERE owner = $1", owner))
}

func parameters() interface{} {
	own := open("application_name='the program' search_path=drivers,public")
	defer own.Close(background)
	show := func(on runner) list {
		return rows(on, "SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('TimeZone'), current_setting('application_name')")
	}
	seen := list{show(own)}
	exec(own, "SET work_mem = '7MB'")
	exec(own, "SET TimeZone = 'Asia/Tokyo'")
	seen = append(seen, show(own), own.PgConn().ParameterStatus("TimeZone"))
	transaction, err := own.Begin(background)
	must(err)
	exec(transaction, "SET work_mem = '9MB'")
	exec(transaction, "SET LOCAL TimeZone = 'UTC'")
	seen = append(seen, show(transaction), own.PgConn().ParameterStatus("TimeZone"))
	must(transaction.Rollback(background))
	return append(seen, show(own), own.PgConn().ParameterStatus("TimeZone"), own.PgConn().ParameterStatus("server_encoding"))
}

func sessionState() interface{} {
	exec(connection, "CREATE TEMPORARY TABLE mine (n int)")
	for number := 0; number < 5; number++ {
		exec(connection, "INSERT INTO mine VALUES ($1)", number)
	}
	seen := list{rows(connection, "SELECT count(*), sum(n) FROM mine")}
	exec(connection, "DROP TABLE mine")
	exec(connection, "SELECT pg_advisory_lock(4718)")
	seen = append(seen, rows(connection, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"))
	seen = append(seen, rows(connection, "SELECT pg_advisory_unlock(4718), pg_advisory_unlock(4718)"))
	exec(connection, "DISCARD TEMP")
	return seen
}

func largeObjects() interface{} {
	transaction, err := connection.Begin(background)
	must(err)
	all := transaction.LargeObjects()
	oid, err := all.Create(background, 0)
	must(err)
	object, err := all.Open(background, oid, pgx.LargeObjectModeRead|pgx.LargeObjectModeWrite)
	must(err)
	written, err := object.Write(bytes.Repeat([]byte("abc"), 50000))
	must(err)
	_, err = object.Seek(75000, 0)
	must(err)
	part := make([]byte, 6)
	_, err = object.Read(part)
	must(err)
	must(object.Truncate(10))
	end, err := object.Seek(0, 2)
	must(err)
	must(all.Unlink(background, oid))
	must(transaction.Commit(background))
	return list{written, string(part), end}
}

func parallel() interface{} {
	return inParallel(func(number int) interface{} {
		own := open("")
		defer own.Close(background)
		exec(own, fmt.Sprintf("SET work_mem = '%dkB'", 1000+number))
		sum := 0
		for turn := 0; turn < 10; turn++ {
			var value int
			var memory string
			must(own.QueryRow(background, fmt.Sprintf("SELECT $1::int4 * %d, current_setting('work_mem')", number), turn).Scan(&value, &memory))
			if value != turn*number || memory != fmt.Sprintf("%dkB", 1000+number) {
				panic(fmt.Sprintf("session %d: %d %s", number, value, memory))
			}
			if turn%3 == 0 && refusal(own, "SELECT $1::int4/0", number)[0] != "22012" {
				panic("no division by zero")
			}
			sum += value
		}
		return sum
	})
}

func pool() interface{} {
	shared, err := pgxpool.Connect(background, dsn("pool_max_conns=4"))
	must(err)
	defer shared.Close()
	return inParallel(func(number int) interface{} {
		var value int
		must(shared.QueryRow(background, "SELECT $1::int4 + 1", number).Scan(&value))
		return value
	})
}

func main() {
	reset()
	runAll([]scenario{{"transactions", true, transactions}, {"prepared", true, prepared}, {"modes", true, modes}, {"cursors", true, cursors},
		{"held_cursors", false, heldCursors}, {"copy", true, copying}, {"notify", false, notify}, {"cancel", true, cancel}, {"errors", true, failures},
		{"types", true, typed}, {"user_types", false, userTyped}, {"batch", true, batch}, {"parameters", false, parameters},
		{"session_state", false, sessionState}, {"large_objects", false, largeObjects}, {"parallel", true, parallel}, {"pool", true, pool}}, reset)
	connection.Close(background)
}
