# How the programs in Perl end, of both protocols: their scenarios in order, a line of JSON for each. The rules are in common.py.
use strict;
use warnings;

# `$db` refers to the connection that scenarios share; behind one that failed it is made anew.
sub run_scenarios {
  my ($json, $db, $connect, @scenarios) = @_;
  $| = 1;
  while (my ($name, $body) = splice @scenarios, 0, 2) {
    next if @ARGV && !grep { $_ eq $name } @ARGV;
    my $line = {scenario => $name};
    $line->{error} = "$@" unless eval { $$db ||= $connect->(); $line->{result} = $body->(); 1 };
    if ($line->{error}) { warn "$name: $line->{error}"; eval { $$db->disconnect } if $$db; undef $$db }
    print $json->encode($line), "\n";
  }
  $$db->disconnect if $$db;
}

1;
