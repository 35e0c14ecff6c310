// Package tabfile reads, writes and keeps the .tab files of a MailRoot: text
// files with one record a line, its fields separated by tabs.
//
// # The format
//
// A line ends in LF; CR and LF at its end are no part of it. Its fields are
// separated by runs of tabs, and tabs at either end do not count, so that an
// empty field has to be written as "". A field that begins with a double quote
// is read up to the next one that has no backslash before it; \" stands for a
// quote, every other backslash for itself, and what follows the closing quote
// is dropped. Any other field is taken as it is. Fields are bytes: nothing here
// assumes a character set, and case folding is that of ASCII. A line whose
// first byte is # is a comment.
//
// [Split] and [Cut] read a line, [Cell] and [JoinCells] write one. [Match]
// compares with a wildcard pattern, and [ParseAddrRule] reads the two ways of
// writing a network that the tables know.
//
// The rules are those of docs/reference/tables.md, section 1, and of
// docs/reference/control-protocol.md, sections 2.2 and 2.6, which the control
// protocol shares; docs/design.md lists what we decided otherwise.
//
// # The store
//
// A [Store] keeps all tables below one folder. Readers take a [View], which
// never changes and never makes them wait; writers change tables, files and
// folders in a transaction ([Store.Update]) that happens as a whole or not at
// all. Everybody else, an editor or awk, finds the tables in their files, whole
// at every moment.
//
// One goroutine commits. It runs the transactions that wait on copies of the
// tables (the trees share what is not changed, so a copy costs nothing), writes
// the small files that they change beside their places, appends one record each
// to the journal, syncs it once for all of them, renames the files into place,
// and only then answers (commit.go, plan.go). Tables above 64 KiB follow later,
// with a checkpoint, which also syncs what was renamed and removes the journal
// up to there (checkpoint.go). After a crash the journal says what the files
// must be, and a file says how much of that it shows (recover.go). A file that
// somebody else saved is taken when it rests; it wins, with the changes on top
// that it does not show (edit.go).
package tabfile
