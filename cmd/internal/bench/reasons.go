package main

import "fmt"

// reasons say why figures miss their goals, where it is known: by the name of the figure,
// a sentence without its end. They come out in the README and the table for those that are
// missed, and for no others; a reason for a figure that reaches its goal may stay for the
// machines on which it does not.
func reasons() map[string]string {
	const smtp = "a message takes a file that is made, one that gets another name, and two syncs, one of them shared with others; with the session and the client that keeps the cores busy, where the loop of fsyncs leaves them idle"
	const postfix = "both wait for the same disk, and share the cores with smtp-source and their deliveries; what differs is the processor time for a message"
	return map[string]string{
		"useradd-hashed":  "each hash takes 19 MiB of memory that the runtime has given back in between, and that the system clears again, and the client has its share of the cores",
		"rows-32":         "client and server share the cores; one connection, which waits for the disk most of the time, has them for itself",
		"rows-pipelined":  "client and server share the cores",
		"ctrlclnt-loop":   "libraries are initialized, the one for tables with a cache of 660 kB alone, threads wait for signals, and there are four exchanges over the connection and a durable change; batch takes many commands in one process",
		"smtp-1":          smtp,
		"smtp-8":          smtp,
		"smtp-32":         smtp,
		"smtp-postfix-8":  postfix,
		"smtp-postfix-32": postfix,
		"pop3-cold":       "the system reads the inode of each of the 100,000 files from the disk to learn its size",
	}
}

// why is the reason for which a result misses its goal, empty where it does not or where
// none is known.
func (r result) why() string {
	if r.Skipped != "" || r.Reached {
		return ""
	}
	return reasons()[r.Name]
}

// missedBy says how far a result is from its goal: "0.35, wanted 0.40 at least (88 %)".
// It is empty where the goal is reached, or is not one of the figures here.
func (r result) missedBy() string {
	if r.Skipped != "" || r.Reached {
		return ""
	}
	for _, f := range allFigures() {
		if f.name != r.Name {
			continue
		}
		got, want, unit := r.Value, f.goal.value, " "+r.Unit
		if f.goal.ratio != 0 {
			got, want, unit = r.Ratio, f.goal.ratio, ""
		}
		// Of two goals it is the nearer one.
		if f.goal.or != 0 && r.Second/f.goal.or > got/want {
			got, want = r.Second, f.goal.or
		}
		limit := "least"
		if f.goal.most {
			limit = "most"
		}
		return fmt.Sprintf("%s, wanted %s%s at %s (%.0f %%)", number(got), number(want), unit, limit, 100*got/want)
	}
	return ""
}
