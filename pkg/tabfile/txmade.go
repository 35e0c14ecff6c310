package tabfile

import (
	"slices"
	"strings"
)

// dropMade takes the folders out of the steps of a transaction that it makes and
// removes again, with what it does in them: they are never on disk, and a journal
// knows one fate of a folder, which the next one of that name has to itself.
func (tx *Tx) dropMade() {
	made := make(map[string]int) // the last step that makes a folder
	drop := make(map[int]bool)
	for i := range tx.ops {
		o := &tx.ops[i]
		if o.kind == opMakeTree {
			made[o.path] = i
		}
		first, ok := made[o.path]
		if o.kind != opRemoveTree || !ok {
			continue
		}
		for j := first; j < i; j++ {
			if p := tx.ops[j].path; p == o.path || strings.HasPrefix(p, o.path+"/") {
				drop[j] = true
				delete(made, p)
			}
		}
		drop[i] = true
	}
	if len(drop) == 0 {
		return
	}
	i := -1
	tx.ops = slices.DeleteFunc(tx.ops, func(op) bool {
		i++
		return drop[i]
	})
}
