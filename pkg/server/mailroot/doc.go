// Package mailroot is the typed view of a MailRoot, the folder of tables that
// is the whole configuration of a server: what rows mean, how addresses are
// looked up, and which process owns the folder.
//
// [Tables] reads: a [Root] has the tables as they are committed, a [Tx] as they
// are inside a transaction. Look-ups cost the same in small and in large
// tables. Names of domains and accounts are compared without regard to the case
// of ASCII letters; other bytes are compared as they are, whatever their
// encoding.
package mailroot
