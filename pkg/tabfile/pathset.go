package tabfile

import (
	"maps"
	"path"
)

// A pathSet is a set of paths.
type pathSet struct {
	names   map[string]bool // the paths themselves
	parents map[string]bool // every folder above one of them
}

func newPathSet() *pathSet {
	return &pathSet{names: make(map[string]bool), parents: make(map[string]bool)}
}

func (p *pathSet) add(name string) {
	p.names[name] = true
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		p.parents[dir] = true
	}
}

func (p *pathSet) addAll(q *pathSet) {
	maps.Copy(p.names, q.names)
	maps.Copy(p.parents, q.parents)
}

// covers reports whether name, or a folder above it, is in the set.
func (p *pathSet) covers(name string) bool {
	if len(p.names) == 0 {
		return false
	}
	for ; name != "."; name = path.Dir(name) {
		if p.names[name] {
			return true
		}
	}
	return false
}

// near reports whether name, a folder above it, or something in it is in the set.
func (p *pathSet) near(name string) bool { return p.covers(name) || p.parents[name] }
