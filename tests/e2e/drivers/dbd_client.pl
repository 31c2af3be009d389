# DBD::Pg: libpq, statements prepared on the server by their second use, COPY, asynchronous queries. The rules are in common.py.
use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:pg_types :async);
use FindBin;
use JSON::PP;
use Time::HiRes qw(sleep time);

require "$FindBin::Bin/common.pl";

my $owner = 'dbd-pg';
my $json = JSON::PP->new->canonical->allow_nonref->utf8;
my @values = ('true', '(-32768)::int2', '9223372036854775807::int8', '0.1::float8', '12345678901234567890.0123456789::numeric', "'Größe ≠ 漢字 🙂'::text",
  "''::text", "'\\x00ff10275c'::bytea", "'{\"b\": [1, 2.5, null], \"a\": \"ü\"}'::jsonb", "'2024-02-29 12:34:56.789012+02'::timestamptz",
  "'00112233-4455-6677-8899-aabbccddeeff'::uuid", 'ARRAY[1, 2, NULL]::int4[]', "ARRAY['a', 'b,\"c', NULL]::text[]", 'NULL::int4', "'192.168.1.7'::inet",
  "'3 days 04:05:06.7'::interval", "'[1,10)'::int4range", "repeat('long', 5000)");
my @user_values = ("'green'::drivers.colour", "ARRAY['red', 'blue', NULL]::drivers.colour[]", "ROW(1, 2, 'a b')::drivers.spot", '55::drivers.percent',
  "'[1.5,2.5)'::drivers.span", "'sad'::mood");

sub connect_one {
  my $db = DBI->connect("dbi:Pg:host=$ENV{PGHOST};port=$ENV{PGPORT};dbname=$ENV{PGDATABASE};sslmode=disable;options='-c work_mem=5MB'", $ENV{PGUSER}, undef,
    {RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_enable_utf8 => 1});
  return $db;
}

my $db;
sub rows { my ($on, $text, @bound) = @_; return $on->selectall_arrayref($text, undef, @bound) }
sub refusal {
  my ($on, $deed) = @_;
  return ['no error'] if eval { $deed->(); 1 };
  return [$on->state, (split /\n/, $on->errstr // $@)[0]];
}
sub empty { $db->do('DELETE FROM drivers.items WHERE owner = ?', undef, $owner) }
sub insert { my ($number, $name) = @_; $db->do('INSERT INTO drivers.items (owner, id, name) VALUES (?, ?, ?)', undef, $owner, $number, $name) }
sub items { rows($db, 'SELECT id, name FROM drivers.items WHERE owner = ? ORDER BY id', $owner) }

sub transactions {
  empty();
  $db->begin_work; insert(1, 'committed'); $db->commit;
  $db->begin_work; insert(2, 'rolled back'); $db->rollback;
  $db->begin_work;
  insert(3, 'before the savepoint');
  $db->pg_savepoint('s'); insert(4, 'given up'); $db->pg_rollback_to('s');
  insert(5, 'after the savepoint');
  $db->pg_release('s');
  $db->commit;
  $db->begin_work;
  $db->do('SET TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY');
  my @seen = (rows($db, 'SHOW transaction_isolation'), refusal($db, sub { insert(6, 'refused') }));
  $db->rollback;
  return [@seen, items(), $db->ping > 0 ? 1 : 0];
}

sub prepared {
  my $statement = $db->prepare('SELECT ?::int * 2 + 1');
  my @repeated = map { $statement->execute($_); $statement->fetchrow_array } 0 .. 24;
  my ($sum, @many) = (0);
  push @many, $db->prepare("SELECT ?::int + $_", {pg_prepare_now => 1}) for 0 .. 39;
  for my $turn (0, 1) { for my $one (@many) { $one->execute($turn); $sum += ($one->fetchrow_array)[0]; } }
  undef @many;  # each sends DEALLOCATE
  my $again = $db->prepare('SELECT $1::int + $2::int', {pg_server_prepare => 0});
  $again->execute(1, 2);
  my $broken = refusal($db, sub { $db->prepare('SELECT nothing(?)', {pg_prepare_now => 1}) });
  return [\@repeated, $sum, $again->fetchrow_array, $broken, rows($db, "SELECT 'usable'")];
}

sub cursors {
  $db->begin_work;
  $db->do('DECLARE walk SCROLL CURSOR FOR SELECT n, n * 3 FROM generate_series(1, 500) AS n');
  my $count = 0;
  while (my $part = scalar @{rows($db, 'FETCH 70 FROM walk')}) { $count += $part }
  my $jumped = rows($db, 'FETCH ABSOLUTE 50 FROM walk');
  $db->do('DECLARE kept CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 20)');
  $db->commit;
  my @held = (rows($db, 'FETCH 3 FROM kept'), rows($db, 'FETCH 2 FROM kept'));
  $db->do('CLOSE kept');
  return [$count, $jumped, @held, refusal($db, sub { rows($db, 'FETCH 1 FROM kept') })];
}

sub copy {
  empty();
  $db->do('COPY drivers.items FROM STDIN');
  $db->pg_putcopydata("$owner\t$_\trow $_\t\\N\n") for 0 .. 1999;
  $db->pg_putcopyend();
  $db->do("COPY (SELECT id, name FROM drivers.items WHERE owner = '$owner' ORDER BY id) TO STDOUT");
  my ($line, $lines, $last) = ('', 0, '');
  while ($db->pg_getcopydata($line) >= 0) { $lines++; $last = $line }
  my $failed = refusal($db, sub { $db->do('COPY drivers.items FROM STDIN'); $db->pg_putcopydata("$owner\tnonsense\tx\t1\n"); $db->pg_putcopyend() });
  return [$lines, $last, $failed, rows($db, "SELECT 'usable'")];
}

sub notify {
  $db->do('LISTEN dbd_news');
  my $speaker = connect_one();
  $speaker->do('SELECT pg_notify(?, ?)', undef, 'dbd_news', "item $_") for 0 .. 4;
  $speaker->disconnect;
  my @heard;
  for (1 .. 500) {
    while (my $news = $db->pg_notifies) { push @heard, [$news->[0], $news->[2]] }
    last if @heard >= 5;
    $db->ping;
    sleep 0.02;
  }
  $db->do('UNLISTEN *');
  return \@heard;
}

sub cancel {
  my $begin = time;
  $db->do('SELECT pg_sleep(30)', {pg_async => PG_ASYNC});
  sleep 0.2;
  $db->pg_cancel;
  my @seen = ($db->state);
  return [@seen, time - $begin < 20 ? 1 : 0, rows($db, "SELECT 'usable'")];
}

sub errors {
  empty();
  my @seen = map { my $text = $_; refusal($db, sub { $db->do($text) }), refusal($db, sub { $db->selectall_arrayref("$text -- ?", undef, 1) }) }
    'SELEC 1', 'SELECT 1/0', 'SELECT * FROM nowhere', 'SELECT nothing()', "SELECT 'x'::int", "INSERT INTO drivers.items (owner, id) VALUES ('nobody', 1)";
  insert(1, 'first');
  $db->begin_work;
  insert(2, 'lost with its transaction');
  push @seen, refusal($db, sub { insert(1, 'again') }), refusal($db, sub { rows($db, 'SELECT 1') });
  $db->rollback;
  return [@seen, items(), rows($db, "SELECT 'usable'")];
}

sub typed { my @list = @_; return [map { my $v = $_; [$v, rows($db, "SELECT $v"), rows($db, "SELECT $v, ?::int", 1)] } @list] }

sub batch {
  empty();
  my $statement = $db->prepare('INSERT INTO drivers.items (owner, id, name) VALUES (?, ?, ?)');
  my @status;
  $statement->execute_array({ArrayTupleStatus => \@status}, $owner, [0 .. 99], [map { "row $_" } 0 .. 99]);
  return [scalar @status, rows($db, 'SELECT count(*), sum(id) FROM drivers.items WHERE owner = ?', $owner)];
}

sub parameters {
  my $mine = connect_one();
  my $show = sub { rows($mine, "SELECT current_setting('work_mem'), current_setting('search_path'), current_setting('TimeZone')") };
  my @seen = ($show->());
  $mine->do("SET work_mem = '7MB'");
  $mine->do("SET search_path = drivers, public");
  push @seen, $show->();
  $mine->begin_work; $mine->do("SET work_mem = '9MB'"); $mine->do("SET LOCAL TimeZone = 'Asia/Tokyo'");
  push @seen, $show->();
  $mine->rollback;
  push @seen, $show->();
  $mine->disconnect;
  return \@seen;
}

sub session_state {
  $db->do('CREATE TEMPORARY TABLE mine (n int)');
  $db->do('INSERT INTO mine VALUES (?)', undef, $_) for 0 .. 4;
  my @seen = (rows($db, 'SELECT count(*), sum(n) FROM mine'));
  $db->do('DROP TABLE mine');
  $db->do('SELECT pg_advisory_lock(4719)');
  push @seen, rows($db, 'SELECT pg_advisory_unlock(4719), pg_advisory_unlock(4719)');
  $db->do('DISCARD TEMP');
  return \@seen;
}

sub large_objects {
  $db->begin_work;
  my $oid = $db->pg_lo_creat($db->{pg_INV_READ} | $db->{pg_INV_WRITE});
  my $open = $db->pg_lo_open($oid, $db->{pg_INV_WRITE} | $db->{pg_INV_READ});
  my $written = $db->pg_lo_write($open, 'abc' x 50000, 150000);
  my $sought = $db->pg_lo_lseek($open, 75000, 0);
  my $buffer = '';
  my $read = $db->pg_lo_read($open, $buffer, 6);
  my $closed = $db->pg_lo_close($open);
  $db->pg_lo_unlink($oid);
  $db->commit;
  return [$written, $sought, $read, $buffer, $closed];
}

sub catalogue {
  my $columns = $db->column_info(undef, 'drivers', 'items', '%')->fetchall_arrayref({COLUMN_NAME => 1, TYPE_NAME => 1, pg_type => 1});
  return [[map { [$_->{COLUMN_NAME}, $_->{TYPE_NAME}] } @$columns], [$db->primary_key(undef, 'drivers', 'items')], $db->{pg_server_version} > 150000 ? 1 : 0];
}

sub parallel {  # sessions of one process, taking turns
  my @all = map { connect_one() } 0 .. 15;
  $all[$_]->do("SET work_mem = '" . (1000 + $_) . "kB'") for 0 .. 15;
  my @statements = map { $all[$_]->prepare("SELECT ?::int * $_, current_setting('work_mem')") } 0 .. 15;
  for my $turn (0 .. 9) {
    for my $number (0 .. 15) {
      $statements[$number]->execute($turn);
      my ($value, $memory) = $statements[$number]->fetchrow_array;
      die "session $number: $value $memory" unless $value == $turn * $number && $memory eq (1000 + $number) . 'kB';
      die 'no division by zero' unless $turn % 3 || refusal($all[$number], sub { $all[$number]->do("SELECT $number/0") })->[0] eq '22012';
    }
  }
  undef @statements;
  $_->disconnect for @all;
  return scalar @all;
}

my @scenarios = (transactions => \&transactions, prepared => \&prepared, cursors => \&cursors, copy => \&copy, notify => \&notify, cancel => \&cancel,
  errors => \&errors, types => sub { typed(@values) }, user_types => sub { typed(@user_values) }, batch => \&batch, parameters => \&parameters,
  session_state => \&session_state, large_objects => \&large_objects, catalogue => \&catalogue, parallel => \&parallel);
run_scenarios($json, \$db, \&connect_one, @scenarios);
