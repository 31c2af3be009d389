// pgx v4 in binary: types registered by the numbers that the first connection was told, used by every one after it.
// Prints "round" after each round of reads and writes, and a line that is something else when a value is wrong.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"reflect"
	"time"

	"github.com/jackc/pgtype"
	"github.com/jackc/pgx/v4"
)

type numbers struct{ mood, moods, spot, spots, height, hstore uint32 }

func fail(what string, err error) {
	if err != nil {
		fmt.Printf("%s: %v\n", what, err)
		os.Exit(1)
	}
}

func open(ctx context.Context, port string) *pgx.Conn {
	connection, err := pgx.Connect(ctx, "host=127.0.0.1 user=app dbname=app sslmode=disable port="+port)
	fail("connect", err)
	return connection
}

func ask(ctx context.Context, connection *pgx.Conn) numbers {
	var n numbers
	err := connection.QueryRow(ctx, "SELECT 'mood'::regtype::oid, 'mood[]'::regtype::oid, 'spot'::regtype::oid, 'spot[]'::regtype::oid, "+
		"'positive_int'::regtype::oid, t.oid FROM pg_type t WHERE typname = $1", "hstore").
		Scan(&n.mood, &n.moods, &n.spot, &n.spots, &n.height, &n.hstore)
	fail("numbers", err)
	// And back: what a number is the number of.
	var name string
	fail("name", connection.QueryRow(ctx, "SELECT typname::text FROM pg_type WHERE oid = $1", n.spots).Scan(&name))
	if name != "_spot" {
		fail("name", fmt.Errorf("%d is %s", n.spots, name))
	}
	return n
}

func register(connection *pgx.Conn, n numbers) {
	info := connection.ConnInfo()
	newMood := func() pgtype.ValueTranscoder { return pgtype.NewEnumType("mood", []string{"sad", "ok", "happy"}) }
	newMoods := func() pgtype.ValueTranscoder { return pgtype.NewArrayType("mood[]", n.mood, newMood) }
	info.RegisterDataType(pgtype.DataType{Value: newMood(), Name: "mood", OID: n.mood})
	info.RegisterDataType(pgtype.DataType{Value: newMoods(), Name: "mood[]", OID: n.moods})
	info.RegisterDataType(pgtype.DataType{Value: &pgtype.Int4{}, Name: "positive_int", OID: n.height})
	info.RegisterDataType(pgtype.DataType{Value: &pgtype.Hstore{}, Name: "hstore", OID: n.hstore})
	newSpot := func() pgtype.ValueTranscoder {
		spot, err := pgtype.NewCompositeType("spot", []pgtype.CompositeTypeField{
			{Name: "feeling", OID: n.mood}, {Name: "height", OID: n.height}, {Name: "feelings", OID: n.moods}}, info)
		fail("spot", err)
		return spot
	}
	info.RegisterDataType(pgtype.DataType{Value: newSpot(), Name: "spot", OID: n.spot})
	info.RegisterDataType(pgtype.DataType{Value: pgtype.NewArrayType("spot[]", n.spot, newSpot), Name: "spot[]", OID: n.spots})
}

// Values as pgx sees them; asking for the registered type makes it check the numbers in the bytes.
func read(ctx context.Context, connection *pgx.Conn, sql string, arguments ...interface{}) []interface{} {
	rows, err := connection.Query(ctx, sql, arguments...)
	fail("query", err)
	defer rows.Close()
	if !rows.Next() {
		fail("row", fmt.Errorf("none: %v", rows.Err()))
	}
	for _, field := range rows.FieldDescriptions() {
		if field.Format != pgx.BinaryFormatCode && string(field.Name) != "m" { // pgx prefers text for an enum by itself
			fail("format", fmt.Errorf("%s is not binary", field.Name))
		}
	}
	values, err := rows.Values()
	fail("values", err)
	rows.Close()
	fail("rows", rows.Err())
	return values
}

func same(what string, got, expected interface{}) {
	if !reflect.DeepEqual(got, expected) {
		fail(what, fmt.Errorf("got %v, not %v", got, expected))
	}
}

func main() {
	ctx := context.Background()
	port, row := os.Args[1], os.Args[2]
	ended := make(chan bool)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	keeper := open(ctx, port)
	n := ask(ctx, keeper)
	register(keeper, n)
	selected := "SELECT m, ms, s, ss, h FROM typed WHERE id = " + row
	expected := read(ctx, keeper, selected)
	if text := fmt.Sprint(expected[0]); text != "ok" {
		fail("first", fmt.Errorf("m is %s", text))
	}
	for round := 0; ; round++ {
		connection := keeper
		if round%4 == 3 {
			connection = open(ctx, port)
			same("numbers", ask(ctx, connection), n)
			register(connection, n)
		}
		same("row", read(ctx, connection, selected), expected)
		var ms, s, ss, h interface{}
		ms, s, ss, h = value(connection, n.moods), value(connection, n.spot), value(connection, n.spots), value(connection, n.hstore)
		fail("scan", connection.QueryRow(ctx, "SELECT ms, s, ss, h FROM typed WHERE id = "+row).Scan(ms, s, ss, h))
		same("returned", read(ctx, connection, "UPDATE typed SET ms = $1, s = $2, ss = $3, h = $4 WHERE id = "+row+" RETURNING m, ms, s, ss, h",
			ms, s, ss, h), expected)
		if connection != keeper {
			fail("close", connection.Close(ctx))
		}
		fmt.Println("round")
		select {
		case <-ended:
			_ = keeper.Close(ctx)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func value(connection *pgx.Conn, oid uint32) interface{} {
	kind, ok := connection.ConnInfo().DataTypeForOID(oid)
	if !ok {
		fail("type", fmt.Errorf("%d is not known", oid))
	}
	return pgtype.NewValue(kind.Value)
}
