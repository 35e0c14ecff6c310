package admin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// A step is a function of a batch.
type step func(ctx context.Context, s *Service) error

func (f *fixture) batch(steps ...step) (int, error) {
	return f.Batch(f.t.Context(), len(steps), func(s *Service, i int) error { return steps[i](f.t.Context(), s) })
}

func addDomain(domain string) step {
	return func(ctx context.Context, s *Service) error { return s.DomainAdd(ctx, domain) }
}

func delDomain(domain string) step {
	return func(ctx context.Context, s *Service) error { return s.DomainDel(ctx, domain) }
}

func addUser(domain, name string) step {
	return func(ctx context.Context, s *Service) error { return s.UserAdd(ctx, domain, name, "pw", "U") }
}

func delUser(domain, name string) step {
	return func(ctx context.Context, s *Service) error { return s.UserDel(ctx, domain, name) }
}

func addAlias(domain, name, account string) step {
	return func(ctx context.Context, s *Service) error { return s.AliasAdd(ctx, domain, name, account) }
}

func setVar(domain, name, variable, value string) step {
	return func(ctx context.Context, s *Service) error {
		return s.SetUserVars(ctx, domain, name, Setting{variable, value})
	}
}

func TestStepsOfABatchSeeThoseBeforeThem(t *testing.T) {
	f := start(t, nil)
	n, err := f.batch(
		addDomain("new.test"),
		addUser("new.test", "ann"),
		setVar("new.test", "ann", "RealName", "Ann"),
		func(ctx context.Context, s *Service) error { return s.UserAdd(ctx, "new.test", "all", "", "M") },
		func(ctx context.Context, s *Service) error {
			return s.MemberAdd(ctx, "new.test", "all", "ann@new.test", "RW")
		},
		addAlias("new.test", "info", "ann"),
		func(ctx context.Context, s *Service) error { return s.UserAuth(ctx, "new.test", "ann", "pw") },
		func(ctx context.Context, s *Service) error { return s.UserPasswd(ctx, "new.test", "ann", "other") },
		addUser("new.test", "gone"),
		delUser("new.test", "gone"),
		delUser("xmailserver.test", "xmailuser"),
	)
	if n != 11 || err != nil {
		t.Fatalf("step %d failed: %v", n, err)
	}
	f.ok(f.UserAuth(t.Context(), "new.test", "ann", "other"))
	vars, err := f.UserVars(t.Context(), "new.test", "ann")
	f.ok(err)
	found := false
	for v := range vars {
		found = found || v == Setting{"RealName", "Ann"}
	}
	if !found {
		t.Error("the variable of the new account is not set")
	}
	if _, ok := f.Root().User("new.test", "gone"); ok {
		t.Error("an account is there that its own transaction removed")
	}
	if _, ok := f.Root().User("xmailserver.test", "xmailuser"); ok {
		t.Error("an account is there that the transaction removed")
	}
	f.stop()
	f.open(Options{})
	f.ok(f.UserAuth(t.Context(), "new.test", "ann", "other"))
}

func TestRefusedBatchChangesNothing(t *testing.T) {
	f := start(t, nil)
	f.ok(f.Sync(t.Context()))
	before := f.tree()
	n, err := f.batch(
		addDomain("new.test"), addUser("new.test", "ann"), addAlias("new.test", "info", "ann"),
		setVar("xmailserver.test", "xmailuser", "RealName", "changed"),
		delUser("xmailserver.test", "xmailuser"),
		addAlias("new.test", "info", "ann"),
		addUser("new.test", "late"),
	)
	if n != 5 {
		t.Errorf("step %d failed, want 5", n)
	}
	f.wantKind(err, AliasExists)
	f.ok(f.Sync(t.Context()))
	if diff := cmp.Diff(before, f.tree()); diff != "" {
		t.Errorf("a refused batch changed files, -before +after\n%s", diff)
	}
	if f.Root().IsDomain("new.test") {
		t.Error("the domain of a refused batch is there")
	}
}

func TestCheckBatchNamesEveryRefusal(t *testing.T) {
	f := start(t, nil)
	f.ok(f.Sync(t.Context()))
	before := f.tree()
	steps := []step{
		addUser("new.test", "early"), // no such domain yet
		addDomain("new.test"),
		addUser("new.test", "ann"),
		addUser("new.test", "ann"),            // twice
		addAlias("new.test", "info", "early"), // was refused
		addAlias("new.test", "info", "ann"),
		delUser("new.test", "ann"),
		setVar("new.test", "ann", "RealName", "x"), // gone
	}
	failed, err := f.CheckBatch(t.Context(), len(steps), func(s *Service, i int) error { return steps[i](t.Context(), s) })
	f.ok(err)
	var got []string
	for _, err := range failed {
		got = append(got, fmt.Sprint(err != nil))
	}
	want := []string{"true", "false", "false", "true", "true", "false", "false", "true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps that would fail: %v, -want +got\n%s", failed, diff)
	}
	f.ok(f.Sync(t.Context()))
	if diff := cmp.Diff(before, f.tree()); diff != "" {
		t.Errorf("a check changed files, -before +after\n%s", diff)
	}
}

// Batches and single changes run at once: those whose answer depends on files that
// others are about to change run again.
func TestBatchesAmongOtherChanges(t *testing.T) {
	f := start(t, nil)
	const sessions, users = 8, 20
	var wg sync.WaitGroup
	for i := range sessions {
		domain := fmt.Sprintf("d%d.test", i)
		wg.Go(func() {
			steps := []step{addDomain(domain)}
			for j := range users {
				name := fmt.Sprintf("u%d", j)
				steps = append(steps, addUser(domain, name), setVar(domain, name, "RealName", name))
			}
			if n, err := f.batch(steps...); err != nil {
				t.Errorf("%s: step %d: %v", domain, n, err)
			}
			if err := f.UserAdd(t.Context(), domain, "last", "pw", "U"); err != nil {
				t.Errorf("%s: %v", domain, err)
			}
			failed, err := f.CheckBatch(t.Context(), 2, func(s *Service, i int) error {
				return []step{delDomain(domain), addUser(domain, "none")}[i](t.Context(), s)
			})
			if err != nil || failed[0] != nil || failed[1] == nil {
				t.Errorf("%s: check: %v, %v", domain, failed, err)
			}
		})
	}
	wg.Wait()
	n := 0
	ids := make(map[uint64]bool)
	for u := range f.Root().Users() {
		n++
		ids[u.ID] = true
	}
	if want := sessions*(users+1) + 1; n != want || len(ids) != want {
		t.Errorf("%d accounts with %d numbers, want %d", n, len(ids), want)
	}
}

func TestBatchOfACancelledContext(t *testing.T) {
	f := start(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := f.Batch(ctx, 2, func(s *Service, i int) error {
		cancel()
		return s.DomainAdd(ctx, fmt.Sprintf("c%d.test", i))
	})
	f.wantKind(err, Canceled)
	if f.Root().IsDomain("c0.test") {
		t.Error("a part of a batch that was cancelled is there")
	}
}

func TestSomebodyKeepsAllRights(t *testing.T) {
	f := start(t, map[string]string{"ctrlaccounts.tab": "admin 16\nbob 16\nann 16\n"})
	ctx := t.Context()
	f.ok(f.SetRights(ctx, "BOB", "read"))
	f.ok(f.SetRights(ctx, "ann", "XMailServer.test"))
	if got, want := f.read("ctrlrights.tab"), "\"bob\"\t\"read\"\n\"ann\"\t\"xmailserver.test\"\n"; got != want {
		t.Errorf("ctrlrights.tab is %q, want %q", got, want)
	}
	f.wantKind(f.SetRights(ctx, "admin", "read"), Conflict)
	f.wantKind(f.CtrlUserDel(ctx, "admin"), Conflict)
	f.wantKind(f.SetFile(ctx, "ctrlaccounts.tab", []byte("bob\t16\n")), Conflict)
	f.wantKind(f.SetFile(ctx, "ctrlrights.tab", []byte("admin\tread\nbob\tread\nann\tread\n")), Conflict)
	f.wantKind(f.SetFile(ctx, "ctrlrights.tab", []byte("bob\twhatever you like\n")), BadContent)
	f.wantKind(f.SetRights(ctx, "nobody", "read"), NoRecord)
	f.wantKind(f.SetRights(ctx, "bob", ""), Invalid)
	f.wantKind(f.SetRights(ctx, "bob", "read,all"), Invalid)
	f.wantKind(f.SetRights(ctx, "bob", "none.test"), NoDomain)
	if _, err := f.batch(
		func(ctx context.Context, s *Service) error { return s.SetRights(ctx, "bob", "all") },
		func(ctx context.Context, s *Service) error { return s.SetRights(ctx, "admin", "read") },
	); err != nil {
		t.Errorf("another one first: %v", err)
	}
	f.ok(f.CtrlUserDel(ctx, "ann"))
	if got, want := f.read("ctrlrights.tab"), "\"bob\"\t\"all\"\n\"admin\"\t\"read\"\n"; got != want {
		t.Errorf("ctrlrights.tab is %q, want %q", got, want)
	}
	if got := f.Rights("ann"); got.String() != "" {
		t.Errorf("an account that is gone has the rights %v", got)
	}
}

func TestServiceWithinADomainReachesNoOther(t *testing.T) {
	f := start(t, map[string]string{"aliasdomain.tab": "*.test xmailserver.test\n"})
	ctx := t.Context()
	f.ok(f.DomainAdd(ctx, "own.org"))
	f.ok(f.UserAdd(ctx, "own.org", "ann", "pw", "U"))
	f.ok(f.AliasAdd(ctx, "own.org", "out", "xmailuser@xmailserver.test"))
	f.ok(f.AliasDomainAdd(ctx, "xmailserver.test", "*.org"))
	f.ok(f.ExtAliasAdd(ctx, "xmailuser@xmailserver.test", "x@ext.example"))
	s := f.Within(mailroot.Rights{Domains: []string{"own.org"}}.Owns)
	f.ok(s.UserPasswd(ctx, "own.org", "ann", "new"))
	f.wantKind(s.UserPasswd(ctx, "own.org", "xmailuser", "new"), NoUser)
	f.wantKind(s.SetUserVars(ctx, "own.org", "xmailuser", Setting{"RealName", "x"}), NoUser)
	f.wantKind(s.UserAuth(ctx, "own.org", "xmailuser", "xmail"), NoUser)
	_, err := s.UserStat(ctx, "own.org", "out")
	f.wantKind(err, NoUser)
	_, err = s.UserStat(ctx, "own.org", "xmailuser")
	f.wantKind(err, NoUser)
	f.wantKind(s.AliasAdd(ctx, "own.org", "x", "xmailuser@xmailserver.test"), NoUser)
	f.wantKind(s.AliasAdd(ctx, "own.org", "x", "xmailuser"), NoUser)
	f.ok(s.ExtAliasAdd(ctx, "ann@own.org", "ann@elsewhere.example"))
	f.ok(s.ExtAliasAdd(ctx, "ann@own.org", "boss@own.org"))
	f.wantKind(s.ExtAliasAdd(ctx, "ann@own.org", "boss@xmailserver.test"), Forbidden)
	f.wantKind(s.ExtAliasDel(ctx, "x@ext.example"), Forbidden)
	f.ok(s.ExtAliasDel(ctx, "ann@elsewhere.example"))
	f.ok(f.UserPasswd(ctx, "own.org", "xmailuser", "seen by others"))
}

func TestMailProcOfAnAdministratorOfDomains(t *testing.T) {
	f := start(t, nil)
	ctx := t.Context()
	f.ok(f.DomainAdd(ctx, "own.test"))
	f.ok(f.UserAdd(ctx, "own.test", "ann", "pw", "U"))
	s := f.Within(mailroot.Rights{Domains: []string{"own.test"}}.Owns)
	set := func(s *Service, text string) error { return s.SetMailProc(ctx, "own.test", "ann", "U", []byte(text)) }
	f.ok(set(s, "mailbox\n\"redirect\"\t\"a@b.example\"\tx@own.test\n# external\n\nLREDIRECT\tc@d.example\n"))
	for _, bad := range []string{
		"external\t0\t0\t/bin/sh\tx\n", "\"External\"\t0\t0\t/bin/sh\tx\n", "mailbox\nFILTER\t0\t0\t/bin/sh\tx\n",
		"smtprelay\tmx.example\n", "\t\texternal\t0\t0\t/bin/sh\tx\n", "unknown\n", " external\t0\t0\t/bin/sh\tx\n",
		"redirect\tx@xmailserver.test\n", "redirect\txmailserver.TEST\n", "redirect\ta@b.example\tx@xmailserver.test\n",
		"redirect\tx@xmailserver.test.\n", "redirect\t<x@xmailserver.test>\n", "redirect\tx@xmailserver.test,a@b.example\n",
		"redirect\tx@[127.0.0.1]\n", "redirect\t@xmailserver.test:a@b.example\n", "redirect\tx@\n", "redirect\t\"\"\n",
		"redirect\t@@FROM\n", "redirect\tx@$(NONE)xmailserver.test\n", "mailbox\r\nexternal\t0\t0\t/bin/sh\tx\r\n",
	} {
		f.wantKind(set(s, bad), Forbidden)
	}
	const filter = "filter\t0\t10\t/bin/virus\tx\n"
	f.ok(set(f.Service, filter+"smtprelay\tmx.example\nmailbox\n"))
	f.wantKind(set(s, "mailbox\n"), Forbidden)
	f.wantKind(set(s, ""), Forbidden)
	f.wantKind(set(s, filter+filter+"mailbox\n"), Forbidden)
	f.ok(set(s, "mailbox\n"+filter+"redirect\ta@b.example\n"))
	f.wantKind(set(s, filter+"smtprelay\tmx.example\n"), Forbidden)
	if got, want := f.read("domains/own.test/ann/mailproc.tab"), "mailbox\n"+filter+"redirect\ta@b.example\n"; got != want {
		t.Errorf("mailproc.tab is %q, want %q", got, want)
	}
}

func TestBatchReturnsTheErrorOfItsStep(t *testing.T) {
	f := start(t, nil)
	own := errors.New("my own")
	n, err := f.Batch(t.Context(), 3, func(_ *Service, i int) error {
		if i == 1 {
			return own
		}
		return nil
	})
	if n != 1 || err != own {
		t.Errorf("step %d, %v, want 1 and the error itself", n, err)
	}
}

// What a batch has acknowledged is whole on disk at once: here in a copy of the MailRoot
// as it is then, with the journal, which is what a server finds after a power cut.
func TestAcknowledgedBatchIsOnDisk(t *testing.T) {
	f := start(t, nil)
	n, err := f.batch(addDomain("new.test"), addUser("new.test", "ann"), setVar("new.test", "ann", "RealName", "Ann"), addAlias("new.test", "info", "ann"))
	if n != 4 || err != nil {
		t.Fatalf("step %d: %v", n, err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(f.dir)); err != nil {
		t.Fatal(err)
	}
	root, err := mailroot.Open(t.Context(), dir, mailroot.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	u, ok := root.User("new.test", "ann")
	if !ok || !root.IsDomain("new.test") || !root.HasAlias("new.test", "info") {
		t.Error("a part of the batch is missing")
	}
	vars, err := root.UserVars(u)
	if name, _ := vars.Lookup("RealName"); err != nil || name != "Ann" {
		t.Errorf("RealName is %q (%v), want Ann", name, err)
	}
}

func TestTryInABatchLeavesNothing(t *testing.T) {
	f := start(t, nil)
	n, err := f.batch(
		func(ctx context.Context, s *Service) error { return s.Try().DomainAdd(ctx, "new.test") },
		addDomain("new.test"),
		func(ctx context.Context, s *Service) error {
			return s.Try().UserDel(ctx, "xmailserver.test", "xmailuser")
		},
	)
	if n != 3 || err != nil {
		t.Fatalf("step %d: %v", n, err)
	}
	if _, ok := f.Root().User("xmailserver.test", "xmailuser"); !ok || !f.Root().IsDomain("new.test") {
		t.Error("what was tried was done, or what was done is missing")
	}
}
