# Sends a message with Net::SMTP and reads it with Net::POP3, in clear text, after
# STARTTLS and STLS, and inside TLS.
#
# usage: mail.pl SMTP SMTPS POP3 POP3S CAFILE   (ports of localhost), the message on standard input
use strict;
use warnings;
use Net::SMTP;
use Net::POP3;

my ( $smtp, $smtps, $pop3, $pop3s, $ca ) = @ARGV;
my ( $user, $password ) = ( 'xmailuser@xmailserver.test', 'xmail' );
my @tls = ( SSL_ca_file => $ca, SSL_verifycn_name => 'localhost' );
binmode STDIN;
my $text = do { local $/; <STDIN> };

my %smtp = (
    clear    => sub { Net::SMTP->new( 'localhost', Port => $smtp ) },
    starttls => sub { my $c = Net::SMTP->new( 'localhost', Port => $smtp ); $c->starttls(@tls) or die $c->message; $c },
    smtps    => sub { Net::SMTP->new( 'localhost', Port => $smtps, SSL => 1, @tls ) },
);
for my $name ( sort keys %smtp ) {
    my $c = $smtp{$name}->() or die "$name: $@";
    $c->auth( $user, $password ) or die "$name: auth: " . $c->message;
    $c->mail($user)          or die $c->message;
    $c->to($user)            or die $c->message;
    $c->data("Subject: $name\r\n$text") or die $c->message;
    print "$name ", $c->code, "\n";
    $c->quit;
}

my %pop3 = (
    apop => sub { my $c = Net::POP3->new( 'localhost', Port => $pop3 ); ( $c, $c->apop( $user, $password ) ) },
    stls => sub { my $c = Net::POP3->new( 'localhost', Port => $pop3 ); $c->starttls(@tls) or die $c->message; ( $c, $c->login( $user, $password ) ) },
    pop3s => sub { my $c = Net::POP3->new( 'localhost', Port => $pop3s, SSL => 1, @tls ) or die $@; ( $c, $c->login( $user, $password ) ) },
);
$text =~ s/\r\n/\n/g;
for my $name ( sort keys %pop3 ) {
    my ( $c, $count );
    until ( $count and $count == 3 ) {
        $c->quit if $c;
        ( $c, $count ) = $pop3{$name}->();
        die "$name: login: " . $c->message unless defined $count;
    }
    my @subjects;
    for my $n ( 1 .. 3 ) {
        my $got = join '', @{ $c->get($n) };
        $got =~ s/\r\n/\n/g;
        push @subjects, $1 if $got =~ /^Subject: (\S+)\n\Q$text\E\z/m;
    }
    print "$name $count ", join( ' ', sort @subjects ), ' ', scalar( keys %{ $c->uidl } ), "\n";
    $c->quit;
}
my $c = Net::POP3->new( 'localhost', Port => $pop3 );
print 'wrong ', defined( $c->login( $user, 'wrong' ) ) ? 'let in' : 'refused', "\n";
