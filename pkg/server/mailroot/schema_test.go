package mailroot

import "testing"

func TestDamagedDomainsAreUnreadable(t *testing.T) {
	check := Schemas()[DomainsTab].Check
	for _, name := range []string{"", "\x00", "a\x01b.test", "\xff\xfe"} {
		if check([]string{name}) == nil {
			t.Errorf("%q is taken for a domain", name)
		}
	}
	for _, name := range []string{"foo.test", "under_score.test", "xn--tst-qla.test", "täst.test"} {
		if err := check([]string{name}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
