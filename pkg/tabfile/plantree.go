package tabfile

import (
	"errors"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
)

// A tree is a new folder, and where it is made first.
type tree struct {
	stage string
	o     *op
}

// makeTree prepares a tree under a temporary name.
func (p *plan) makeTree(o *op) {
	stage := p.s.tmpName(stageExt)
	p.trees = append(p.trees, tree{stage, o})
	p.undo = append(p.undo, func() error { return p.s.fs.RemoveAll(stage) })
	target := p.s.disk(o.path)
	p.steps = append(p.steps, func() error {
		err := p.s.fs.Rename(stage, target)
		if err != nil { // perhaps it is another file system
			return errors.Join(p.s.build(target, o), p.s.fs.RemoveAll(stage))
		}
		return nil
	})
	p.paths = append(p.paths, filepath.Dir(target), target)
	for _, dir := range o.dirs {
		p.paths = append(p.paths, filepath.Join(target, filepath.FromSlash(dir)))
	}
	for _, f := range o.files {
		p.paths = append(p.paths, filepath.Join(target, filepath.FromSlash(f.name)))
	}
}

// treesAlone is how many trees are made one after the other; where there are more,
// the processors share them.
const treesAlone = 4

// buildTrees makes the trees of the batch under their temporary names.
func (p *plan) buildTrees() error {
	workers := min(runtime.GOMAXPROCS(0), len(p.trees)/treesAlone)
	if workers < 2 {
		for _, t := range p.trees {
			if err := p.s.build(t.stage, t.o); err != nil {
				return err
			}
		}
		return nil
	}
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for errs[w] == nil {
				i := next.Add(1) - 1
				if i >= int64(len(p.trees)) {
					return
				}
				errs[w] = p.s.build(p.trees[i].stage, p.trees[i].o)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// build makes what is missing of a tree at target.
func (s *Store) build(target string, o *op) error {
	modes := s.opts.Modes()
	if err := ignoreExisting(s.fs.Mkdir(target, modes.Dir)); err != nil {
		return err
	}
	for _, dir := range o.dirs {
		if err := ignoreExisting(s.fs.Mkdir(filepath.Join(target, filepath.FromSlash(dir)), modes.Dir)); err != nil {
			return err
		}
	}
	for _, made := range o.files {
		f, err := s.fs.Create(filepath.Join(target, filepath.FromSlash(made.name)), "", modes.File)
		if err != nil {
			return err
		}
		if made.data != "" {
			_, err = io.WriteString(f, made.data)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}
