# DBD::MariaDB, or DBD::mysql (DRIVER_DBD), on libmariadb: texts and statements prepared on the server. The rules are in mysql_dbapi.py.
use strict;
use warnings;
use utf8;
use DBI qw(:sql_types);
use Digest::MD5 qw(md5_hex);
use FindBin;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

require "$FindBin::Bin/../drivers/common.pl";

my $kind = $ENV{DRIVER_DBD} // 'MariaDB';
my $prefix = lc $kind;
my @unicode = $kind eq 'mysql' ? (mysql_enable_utf8mb4 => 1) : ();

my $json = JSON::PP->new->canonical->allow_nonref->utf8;
open my $file, '<:raw', $ENV{DRIVER_STATEMENTS} or die $!;
my $shared = $json->decode(do { local $/; <$file> });

sub connect_one {
  my (%more) = @_;
  my $words = join ';', "host=$ENV{MYSQL_HOST}", "port=$ENV{MYSQL_PORT}", "database=" . (delete $more{database} // $ENV{MYSQL_DATABASE}), map { "${prefix}_$_=$more{$_}" } sort keys %more;
  my $db = DBI->connect("dbi:$kind:$words", $ENV{MYSQL_USER}, $ENV{MYSQL_PASSWORD}, {RaiseError => 1, PrintError => 0, PrintWarn => 0, AutoCommit => 1, @unicode});
  $db->{"${prefix}_auto_reconnect"} = 0;
  return $db;
}

sub told { return {error => [$DBI::err, $DBI::state, $DBI::errstr]} }
# What is no text is shown as its bytes.
sub shown { my ($value) = @_; return !defined $value ? undef : $value =~ /[^\x20-\x{d7ff}\x{e000}-\x{10ffff}\n]/ || $value =~ /[\x80-\x9f]/ ? unpack('H*', utf8::is_utf8($value) ? Encode::encode_utf8($value) : $value) : "$value" }
use Encode ();

sub result {
  my ($statement) = @_;
  return {affected => $statement->rows, id => $statement->{"${prefix}_insertid"}, warnings => $statement->{"${prefix}_warning_count"}} unless $statement->{NUM_OF_FIELDS};
  return {names => [@{$statement->{NAME}}], types => [@{$statement->{TYPE}}], nullable => [map { $_ ? 1 : 0 } @{$statement->{NULLABLE}}],
    rows => [map { [map { shown($_) } @$_] } @{$statement->fetchall_arrayref}]};
}

# All that a text answers: each result, then an error if there is one.
sub ask {
  my ($on, $text, $how, @bound) = @_;
  my (@seen, $statement);
  return \@seen if eval {
    $statement = $on->prepare($text, $how || {});
    $statement->execute(@bound);
    do { push @seen, result($statement) } while $statement->more_results;
    $statement->finish;
    1;
  };
  return [@seen, told()];
}
my $on_server = {"${prefix}_server_prepare" => 1, "${prefix}_server_prepare_disable_fallback" => 1};
sub run { my ($on, $text, @bound) = @_; return ask($on, $text, $on_server, @bound) }

my $db;
my @scenarios = map { my $texts = $shared->{scenarios}{$_}; ($_ => sub { [map { ask($db, $_) } @$texts] }) } sort keys %{$shared->{scenarios}};

sub commits {
  ask($db, 'TRUNCATE TABLE items');
  $db->begin_work; run($db, 'INSERT INTO items VALUES (?, ?)', 1, 'committed'); $db->commit;
  $db->begin_work; run($db, 'INSERT INTO items VALUES (?, ?)', 2, 'rolled back'); $db->rollback;
  $db->{AutoCommit} = 0;
  ask($db, "INSERT INTO items VALUES (3, 'committed')");
  my $seen = ask($db, "INSERT INTO items VALUES (3, 'again')");
  $db->commit;
  $db->{AutoCommit} = 1;
  return [$seen, ask($db, 'SELECT id, name, in_transaction(), @@autocommit FROM items ORDER BY id'), $db->ping ? 1 : 0];
}

sub prepared {
  my $statement = $db->prepare('SELECT ? * 2 + 1', $on_server);
  my @seen = map { $statement->execute($_); $statement->fetchall_arrayref } 0 .. 24;
  my @many = map { $db->prepare("SELECT ? + $_", $on_server) } 0 .. 59;
  for my $turn (0, 1) { for my $one (@many) { $one->execute($turn); push @seen, $one->fetchall_arrayref } }
  undef @many;
  push @seen, run($db, 'SELECT HEX(?), ? IS NULL', $_, $_) for undef, 1, -1, 1.5, 'Größe ≠ 漢字 🙂', '', "\\'", 'x' x 70000;
  my $number = 100;
  for my $row (@{$shared->{parameters}}) {
    my @names = sort keys %$row;
    push @seen, run($db, 'INSERT INTO typed (id, ' . join(', ', @names) . ') VALUES (?' . ', ?' x @names . ')', $number++, @$row{@names});
  }
  push @seen, run($db, 'SELECT * FROM typed WHERE id >= ? ORDER BY id', 100), run($db, 'DELETE FROM typed WHERE id >= ?', 100);
  push @seen, run($db, $_) for 'SELECT nonsense', 'SELECT * FROM nowhere', 'SELEC', 'INSERT INTO children VALUES (1, 4711)', 'SELECT 1/0', 'DROP TABLE IF EXISTS nowhere',
    'CALL nothing()', 'SET @s = 5', 'SELECT @s', 'SET @s = NULL';
  return \@seen;
}

sub types { return [map { [$_, ask($db, "SELECT $_ AS v, HEX($_) AS h"), run($db, "SELECT $_ AS v")] } @{$shared->{values}}] }
sub typed_rows { return [ask($db, 'SELECT * FROM typed ORDER BY id'), run($db, 'SELECT * FROM typed ORDER BY id')] }

sub multi {
  my $mine = connect_one(multi_statements => 1);
  my @seen = map { ask($mine, $_) } "SELECT 1; SELECT 'ä', 2; DO 1; SELECT 3", "TRUNCATE TABLE items; INSERT INTO items VALUES (1, 'a'), (2, 'b'); SELECT COUNT(*) FROM items",
    'SELECT 1; SELECT nonsense; SELECT 2', 'BEGIN; SELECT in_transaction()', 'ROLLBACK; SELECT in_transaction()', 'CALL two_results(); SELECT 1',
    'SET @a = 7; SELECT @a; USE other; SELECT DATABASE()', 'SELECT @a, DATABASE()';
  $mine->disconnect;
  return \@seen;
}

sub large {
  my @seen;
  for my $size (5_000_000, 17_000_000) {
    my $body = '0123456789' x ($size / 10);
    for my $how ({}, $on_server) {
      ask($db, 'REPLACE INTO large VALUES (?, ?)', $how, 1, $body);
      my $statement = $db->prepare('SELECT LENGTH(body), MD5(body), body FROM large WHERE id = ?', $how);
      $statement->execute(1);
      my $row = $statement->fetchrow_arrayref;
      push @seen, [$row->[0], $row->[1] eq md5_hex($body), $row->[2] eq $body];
      $statement->finish;
    }
  }
  return [@seen, ask($db, 'TRUNCATE TABLE large')];
}

# In another process: texts one after the other, what they answered, through a pipe.
sub child {
  my ($body) = @_;
  pipe my $from, my $to or die $!;
  my $pid = fork // die $!;
  return sub { my $line = do { local $/; <$from> }; waitpid $pid, 0; return $json->decode($line) } if $pid && close $to;
  $db->{InactiveDestroy} = 1;
  my $seen = eval { $body->() } // {failed => "$@"};
  print $to $json->encode($seen);
  close $to;
  POSIX::_exit(0);
}

sub kill_one {
  my $victim = connect_one();
  my $number = $victim->{"${prefix}_thread_id"};
  my $text = "SELECT SLEEP(30), 'victim of DBD'";
  my $caught = child(sub { ask($victim, $text) });
  my $count = 0;
  for (1 .. 2000) {
    last if $count = ask($db, 'SELECT COUNT(*) FROM information_schema.processlist WHERE info = ?', undef, $text)->[0]{rows}[0][0];
    sleep 0.01;
  }
  my @seen = ($count, ask($db, "KILL QUERY $number"), $caught->(), ask($victim, "SELECT 'usable'"), ask($db, "KILL $number"));
  sleep 0.2;
  return [@seen, defined ask($victim, 'SELECT 1')->[0]{error} ? 1 : 0];
}

sub catalogue_calls {
  my $columns = $db->column_info(undef, $ENV{MYSQL_DATABASE}, 'children', '%')->fetchall_arrayref({COLUMN_NAME => 1, TYPE_NAME => 1, NULLABLE => 1});
  return [[map { "$_" } sort $db->tables(undef, $ENV{MYSQL_DATABASE}, '%', 'TABLE')], $columns, [$db->primary_key(undef, $ENV{MYSQL_DATABASE}, 'children')],
    $db->last_insert_id(undef, undef, undef, undef), $db->{"${prefix}_serverversion"}, $db->quote("it's \\ ä")];
}

sub logins {
  my @seen;
  for my $options ({database => 'other'}, {database => ''}, {init_command => "SET \@first = 'words'"}) {
    my $mine = connect_one(%$options);
    push @seen, ask($mine, 'SELECT DATABASE(), @first, @@character_set_client, @@collation_connection');
    $mine->disconnect;
  }
  push @seen, eval { connect_one(database => 'no_such_database'); 'let in' } // told();
  local $ENV{MYSQL_PASSWORD} = 'wrong';
  return [@seen, eval { connect_one(); 'let in' } // told()];
}

sub session {
  my ($number) = @_;
  my $mine = connect_one();
  my $zone = sprintf '+%02d:00', $number % 13;
  ask($mine, 'SET sort_buffer_size = ' . 1024 * (100 + $number) . ", time_zone = '$zone'");
  ask($mine, "SET \@mine = $number") if $number % 2;
  my $total = 0;
  for my $turn (0 .. 9) {
    my $row = run($mine, 'SELECT @@sort_buffer_size, @@time_zone, @mine, ? * ?', $turn, $number)->[0]{rows}[0];
    my $wanted = [1024 * (100 + $number), $zone, $number % 2 ? $number : undef, $turn * $number];
    die $json->encode([$row, $wanted]) if join(',', map { $_ // 'none' } @$row) ne join(',', map { $_ // 'none' } @$wanted);
    $mine->begin_work;
    ask($mine, 'REPLACE INTO entries (id, name) VALUES (?, ?)', undef, 1000 + $number, "turn $turn");
    my $wrong = ask($mine, "SELECT nonsense$number");
    die $json->encode($wrong) if $wrong->[0]{error}[0] != 1054;
    $turn % 2 ? $mine->commit : $mine->rollback;
    $total += $turn * $number;
  }
  my $last = ask($mine, 'SELECT name FROM entries WHERE id = ?', undef, 1000 + $number);
  $mine->disconnect;
  return [$total, $last];
}

sub parallel {
  my @all = map { my $number = $_; child(sub { session($number) }) } 0 .. 15;
  my @seen = map { $_->() } @all;
  for (@seen) { die $_->{failed} if ref $_ eq 'HASH' }
  return \@seen;
}

# No results taken row by row: DBD::MariaDB is out of sync behind them, also directly.
push @scenarios, commits => \&commits, prepared => \&prepared, types => \&types, typed_rows => \&typed_rows, multi => \&multi, large => \&large,
  kill => \&kill_one, catalogue_calls => \&catalogue_calls, logins => \&logins, parallel => \&parallel;
run_scenarios($json, \$db, \&connect_one, @scenarios);
