package mailroot

import "iter"

// Accounts returns the rows of ctrlaccounts.tab in file order.
func (t Tables) Accounts() iter.Seq[Account] { return typed(t.table(AccountsTab).Rows(), parseAccount) }

// AccountsNamed returns the rows of a control account. The first one counts.
func (t Tables) AccountsNamed(name string) iter.Seq[Account] {
	return typed(t.table(AccountsTab).All("name", key(name)), parseAccount)
}

// Lists returns the accounts that are mailing lists, in file order.
func (t Tables) Lists() iter.Seq[User] { return typed(t.table(UsersTab).All("list", ""), parseUser) }
