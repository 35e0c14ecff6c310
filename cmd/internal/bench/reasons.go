package main

import "fmt"

// reasons say why figures miss their goals, where it is known: by the name of the figure,
// a sentence without its end. They come out in the README and the table for those that are
// missed, and for no others; a reason for a figure that reaches its goal may stay for the
// machines on which it does not.
func reasons() map[string]string {
	const smtp = "the messages are delivered meanwhile, and client and server share the cores; where a sync is fast it is these that set the rate"
	return map[string]string{
		"smtp-1":  smtp,
		"smtp-8":  smtp,
		"smtp-32": smtp,
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
