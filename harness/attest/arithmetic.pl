use strict;
use POSIX ();
# Doubles come and go as sixteen hexadecimal digits: no conversion of decimals stands between.
sub double { unpack 'd>', pack 'H16', $_[0] }
sub bits { unpack 'H16', pack 'd>', $_[0] }
my %call = (
    sin => sub { sin $_[0] }, cos => sub { cos $_[0] }, exp => sub { exp $_[0] }, log => sub { log $_[0] },
    sqrt => sub { sqrt $_[0] }, atan2 => sub { atan2 $_[0], $_[1] }, pow => sub { $_[0] ** $_[1] },
);
sub of_posix { my $name = shift; no strict 'refs'; my $code = \&{"POSIX::$name"}; return sub { $code->(@_) } }
my ($one, $three, $tiny, $huge) = (1, 3, 2 ** -60, double('7e37e43c8800759c'));
my $infinite = double('7ff0000000000000');
print 'by=perl ', sprintf('%vd', $^V), "\n";
my $digits = eval { POSIX::LDBL_MANT_DIG() };
print "long_double=$digits\n" if defined $digits;
print 'denormals=', bits(double('0010000000000000') / 2), ',', bits(double('0000000000000001') * $one), "\n";
print 'nan=', bits($infinite - $infinite), ',', bits(double('7ff8000000000123') + $one), "\n";
my @modes;
for my $mode (['nearest', 'FE_TONEAREST'], ['upward', 'FE_UPWARD'], ['downward', 'FE_DOWNWARD'], ['zero', 'FE_TOWARDZERO']) {
    my $set = eval { no strict 'refs'; my $value = &{"POSIX::$mode->[1]"}(); POSIX::fesetround($value) };
    next if !defined $set || $set != 0;
    my @got = map { bits($_) } $one / $three, -$one / $three, $one + $tiny, $one - $tiny;
    POSIX::fesetround(POSIX::FE_TONEAREST());
    push @modes, "$mode->[0]:" . join '/', @got;
}
print 'rounding=', join(',', @modes), "\n" if @modes;
my @whole = map { my $value = $_; eval { sprintf '%d', POSIX::lrint($value) } } $huge, -$huge, $infinite - $infinite;
print 'integers=', join(',', @whole), "\n" if 3 == grep { defined } @whole;
my $fused = eval { bits(POSIX::fma(double('3ff0000000400000'), double('3fefffffff800000'), -1)) };
print "fma=$fused\n" if defined $fused;
while (my $line = <STDIN>) {
    my ($name, @arguments) = split ' ', $line;
    my $code = $call{$name} ||= of_posix($name);
    my $result = eval { bits($code->(map { double($_) } @arguments)) };
    print "$name ", defined $result ? $result : '-', "\n";
}
