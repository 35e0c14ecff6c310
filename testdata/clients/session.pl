#!/usr/bin/perl
# A client in the manner of the module XMail::Ctrl: one session, the greeting in a
# single recv, MD5 login, plain fields joined by tabs (also those that are not set),
# success told by the text of the reply.
use strict;
use warnings;
use IO::Socket::INET;
use Digest::MD5 qw(md5_hex);

my ($host, $port, $user, $pass) = @ARGV;
alarm 60;
my $sock = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Proto => 'tcp')
    or die "connect: $!\n";
$sock->autoflush(1);

my $greeting = '';
defined $sock->recv($greeting, 128) or die "recv: $!\n";
$greeting =~ /\n\z/ or die "the greeting did not come whole in 128 bytes: $greeting\n";
my ($stamp) = $greeting =~ /(<[\d.]+@[\d.:a-fA-F]+>)/ or die "no timestamp: $greeting\n";
my @words = split / /, $greeting;
print "greeting $words[0] $words[2] $words[3]\n";

sub reply {
    my $line = <$sock>;
    defined $line or die "the server closed the connection\n";
    $line =~ s/\r?\n\z//;
    return $line;
}

sub command {
    my $line = join "\t", map { defined $_ ? $_ : '' } @_;
    print $sock "$line\n";
    return reply();
}

sub list {
    my @rows;
    while (1) {
        my $line = reply();
        last if $line eq '.';
        $line =~ s/^\.//;
        push @rows, join ',', map { s/^"//; s/"$//; $_ } split /\t/, $line;
    }
    return @rows;
}

my $login = command($user, '#' . md5_hex($stamp . $pass));
$login =~ /OK/ or die "login: $login\n";
print "login ", substr($login, 0, 6), "\n";

for my $command (
    ['domainadd', 'perl.test'],
    ['useradd', 'perl.test', 'ann', 'pw', 'U', undef, undef],
    ['useradd', 'perl.test', 'ann', 'pw', 'U'],
    ['userlist', 'perl.test', undef, undef],
    ['usersetmproc', 'perl.test', 'ann'],
    ['usergetmproc', 'perl.test', 'ann'],
    ['userdel', undef, 'perl.test', 'ann'],
    ['domaindel', 'perl.test'],
    ['quit'],
) {
    my $answer = command(@$command);
    print "$command->[0] ", substr($answer, 0, 6), "\n";
    if ($answer =~ /^\+00100/) {
        print "  $_\n" for list();
    } elsif ($answer =~ /^\+00101/) {
        print $sock "$_\r\n" for '"mailbox"', '..dotted', '.';
        my $done = reply();
        $done =~ /OK/ or die "upload: $done\n";
        print "  ", substr($done, 0, 6), "\n";
    } elsif ($answer =~ /^\+/ && $answer !~ /OK/) {
        die "a success without the word OK: $answer\n";
    }
}
my $more = <$sock>;
defined $more and die "something follows quit: $more\n";
print "end\n";
