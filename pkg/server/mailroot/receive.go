package mailroot

import "strings"

// Receives reports whether an account with these variables takes mail.
func (v Variables) Receives() bool {
	receive, set := v.Lookup("ReceiveEnable")
	return (!set || Atoi(receive) != 0) && !v.Disabled().NoMail
}

// A Writer is somebody who writes to a mailing list.
type Writer struct {
	From    string // the sender of the message; empty: the null sender
	Account string // user@domain of the one who has logged in; empty: nobody
	Login   string // the name of that login
}

// MayWrite reports whether somebody may write to a mailing list with these variables:
// to one that is closed members with W, and who has logged in as a member with A.
func (t Tables) MayWrite(list User, vars Variables, w Writer) (bool, error) {
	if closed, _ := vars.Lookup("ClosedML"); Atoi(closed) == 0 {
		return true, nil
	}
	members, err := t.Members(list)
	if err != nil {
		return false, err
	}
	for _, who := range []struct{ name, letter string }{{w.From, "W"}, {w.Account, "A"}, {w.Login, "A"}} {
		if who.name == "" {
			continue
		}
		for m := range members.Named(who.name) {
			if strings.Contains(m.Perms, who.letter) {
				return true, nil
			}
		}
	}
	return false, nil
}
