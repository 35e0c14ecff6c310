package tabfile

// Repeats reports whether the function of the transaction will run again whatever it
// returns, since it asked for what cannot be known or done yet. A function that goes
// on after an error, as one that uses [Tx.Attempt] may, returns when Repeats is true.
func (tx *Tx) Repeats() bool { return tx.conflict || tx.remade }
