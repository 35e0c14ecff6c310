package admin

// Rights returns the rights of an administrator: the third column of
// ctrlaccounts.tab, which the reference does not read.
func (s *Service) Rights(user string) []string {
	a, _ := s.root.Account(user)
	return a.Rights
}
