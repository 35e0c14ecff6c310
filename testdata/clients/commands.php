<?php
// A client in the manner of PHPXMail: a connection for every command, lines that
// end in a bare LF, rows read as CSV with tabs between the fields.
[, $host, $port, $user, $pass] = $argv;
set_time_limit(60);

function fail($text) {
    fwrite(STDERR, $text . "\n");
    exit(1);
}

function run($host, $port, $user, $pass, $command, $upload = null) {
    $sock = fsockopen($host, (int) $port, $errno, $error, 10) or fail("connect: $error");
    stream_set_timeout($sock, 20);
    $greeting = explode(' ', fgets($sock, 1024));
    if (substr($greeting[0], 0, 1) !== '+' || $greeting[3] !== '1.27') {
        fail('greeting: ' . implode(' ', $greeting));
    }
    fwrite($sock, "$user\t#" . md5($greeting[1] . $pass) . "\n");
    $login = fgets($sock, 1024);
    if (strpos($login, 'OK') === false) {
        fail("login: $login");
    }
    fwrite($sock, "$command\n");
    $answer = rtrim(fgets($sock, 1024));
    echo strtok($command, "\t"), ' ', substr($answer, 0, 6), "\n";
    if (substr($answer, 0, 6) === '+00100') {
        while (($row = fgetcsv($sock, 4096, "\t", '"', '')) !== false && $row[0] !== '.') {
            echo '  ', implode(',', $row), "\n";
        }
    } elseif (substr($answer, 0, 6) === '+00101') {
        fwrite($sock, $upload . "\n.\n");
        echo '  ', substr(fgets($sock, 1024), 0, 6), "\n";
    }
    fwrite($sock, "quit\n");
    fgets($sock, 1024);
    fclose($sock);
}

run($host, $port, $user, $pass, "domainadd\tphp.test");
run($host, $port, $user, $pass, "useradd\t\"php.test\"\t\"ann\"\t\"two words\"\t\"U\"");
run($host, $port, $user, $pass, "useradd\tphp.test\tann\tpw\tU");
run($host, $port, $user, $pass, "userlist\tphp.test\t\t");
run($host, $port, $user, $pass, "usersetmproc\tphp.test\tann", "\"mailbox\"\n\"redirect\"\t\"b@x.test\"");
run($host, $port, $user, $pass, "usergetmproc\tphp.test\tann");
run($host, $port, $user, $pass, "uservars\tphp.test\tann");
run($host, $port, $user, $pass, "domaindel\tphp.test");
