package mailroot

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// TestUsersLikeFindsWhatMatches compares what the index finds with a look at every row.
func TestUsersLikeFindsWhatMatches(t *testing.T) {
	r := rootWith(t, map[string]string{UsersTab: userRows(
		"zoe@b.test", "anna@a.test", "Ann@A.test", "ann@aa.test", "bob@a.test", "an*@a.test", "anton@a.test")})
	patterns := []string{"*", "a*", "A.*", "a.test", "A.TEST", "a?.test", "[ab].test", "ann", "an*", "An?", `an\*`, "*n*", "nobody", "", "?", "an"}
	for _, domain := range patterns {
		for _, name := range patterns {
			var want, got []string
			for u := range r.Users() {
				if tabfile.Match(domain, u.Domain) && tabfile.Match(name, u.Name) {
					want = append(want, u.Name+"@"+u.Domain)
				}
			}
			for u := range r.UsersLike(domain, name) {
				got = append(got, u.Name+"@"+u.Domain)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("UsersLike(%q, %q) (-want +got):\n%s", domain, name, d)
			}
		}
	}
}

// TestListsOfManyUsersStream lists what is too many to be sorted in memory.
func TestListsOfManyUsersStream(t *testing.T) {
	const count = 20_000
	var table strings.Builder
	for i := range count {
		fmt.Fprintf(&table, "a.test user%d 1512 %d user%d U\n", count-i, i+1, i)
	}
	r := rootWith(t, map[string]string{UsersTab: table.String()})
	var got []string
	for u := range r.UsersLike("a.test", "user*") {
		got = append(got, u.Name)
	}
	if len(got) != count || got[0] != "user20000" || got[count-1] != "user1" {
		t.Errorf("%d users from %q to %q, want %d from user20000 to user1", len(got), got[0], got[len(got)-1], count)
	}
	if n := len(slices.Collect(r.UsersLike("a.test", "user1999*"))); n != 11 {
		t.Errorf("%d users like user1999*, want 11", n)
	}
	allocs := testing.AllocsPerRun(3, func() {
		for u := range r.UsersLike("*", "*") {
			if u.Name == "" {
				t.Error("a user without a name")
			}
		}
	})
	if allocs > count/100 { // the MailRoot is watched meanwhile, which allocates as well
		t.Errorf("a list of %d users makes %v allocations, want none a row", count, allocs)
	}
}

func TestFolderBelongsToOneAccount(t *testing.T) {
	r := rootWith(t, map[string]string{UsersTab: "a.test Ann 1512 1 ann U\na.test bob 1512 2 ann U\na.test eve 1512 3 eve U\n" +
		"a.test joe 1512 4 eve/joe U\na.test sue 1512 5 Sue U\na.test SUE2 1512 6 sue2 U\nb.test ann 1512 7 ann U\n"})
	for name, want := range map[string]bool{
		"Ann@a.test": false, "bob@a.test": false, "eve@a.test": false, "joe@a.test": true,
		"sue@a.test": true, "sue2@a.test": true, "ann@b.test": true,
	} {
		user, domain, _ := strings.Cut(name, "@")
		u, ok := r.User(domain, user)
		if !ok {
			t.Fatalf("no %s", name)
		}
		if got := r.OwnsPath(u); got != want {
			t.Errorf("OwnsPath of %s is %v, want %v", name, got, want)
		}
	}
}

func TestNumbersOfAccountsAreInOrder(t *testing.T) {
	for _, ids := range [][2]uint64{{0, 1}, {9, 10}, {99, 100}, {100, 101}, {1 << 63, 1<<64 - 1}} {
		if idKey(ids[0]) >= idKey(ids[1]) {
			t.Errorf("%d is not before %d", ids[0], ids[1])
		}
	}
}
