package deliver

import (
	"fmt"
	"testing"
	"time"
)

func TestListKnowsAMessageByEachWayItComes(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	const mid = "<one@ext.test>"
	type visit struct {
		list  string
		by    string
		m     listed
		after time.Duration
		want  verdict
	}
	for name, visits := range map[string][]visit{
		"tried again": {
			{list: "l1", by: "a", m: listed{id: "A"}, want: sendIt},
			{list: "l1", by: "a", m: listed{id: "A"}, want: sendIt},
		},
		"from list to list here": {
			{list: "l1", by: "a", m: listed{id: "A"}, want: sendIt},
			{list: "l2", by: "b", m: listed{id: "A", message: mid, here: true}, want: sendIt},
			{list: "l2", by: "c", m: listed{id: "A", message: mid, here: true}, want: hadIt},
		},
		"from two lists of another server, and from list to list here": {
			{list: "l1", by: "a", m: listed{id: "A", message: mid}, want: sendIt},
			{list: "l2", by: "b", m: listed{id: "B", message: mid}, want: sendIt},
			{list: "l1", by: "c", m: listed{id: "B", message: mid, here: true}, want: hadIt},
			{list: "l2", by: "d", m: listed{id: "A", message: mid, here: true}, want: hadIt},
			{list: "l3", by: "e", m: listed{id: "A", message: mid, here: true}, want: sendIt},
			{list: "l3", by: "f", m: listed{id: "B", message: mid, here: true}, want: hadIt},
		},
		"back by several ways of another server": {
			{list: "l1", by: "a", m: listed{id: "A"}, want: sendIt},
			{list: "l2", by: "b", m: listed{id: "A", message: mid, here: true}, want: sendIt},
			{list: "l1", by: "c", m: listed{id: "B", message: mid, back: true}, want: tellIt},
			{list: "l1", by: "c", m: listed{id: "B", message: mid, back: true}, want: tellIt},
			{list: "l1", by: "d", m: listed{id: "C", message: mid, back: true}, want: hadIt},
			{list: "l2", by: "e", m: listed{id: "C", message: mid, back: true}, want: tellIt},
		},
		"sent again on purpose": {
			{list: "l1", by: "a", m: listed{id: "A"}, want: sendIt},
			{list: "l2", by: "b", m: listed{id: "A", message: mid, here: true}, want: sendIt},
			{list: "l1", by: "c", m: listed{id: "B"}, want: sendIt},
			{list: "l2", by: "d", m: listed{id: "B", message: mid, here: true}, want: sendIt},
			{list: "l2", by: "e", m: listed{id: "C", message: mid}, want: hadIt},
		},
		"sent again by another list much later": {
			{list: "l1", by: "a", m: listed{id: "A", message: mid}, want: sendIt},
			{list: "l1", by: "b", m: listed{id: "B", message: mid}, after: sameTime - time.Second, want: hadIt},
			{list: "l1", by: "c", m: listed{id: "C", message: mid}, after: sameTime, want: sendIt},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var o once
			for i, v := range visits {
				if got := o.ask(v.list, v.m, v.by, now.Add(v.after)); got != v.want {
					t.Errorf("visit %d, of %s: verdict %d, want %d", i+1, v.list, got, v.want)
				}
			}
		})
	}
}

func TestWhatAListCouldNotSendItHasNotHad(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var o once
	first := listed{id: "A", message: "<one@ext.test>"}
	second := listed{id: "B", message: "<one@ext.test>"}
	o.ask("l1", first, "a", now)
	o.forget("l1", first, "b", now) // not the one that sends
	if got := o.ask("l1", second, "b", now); got != hadIt {
		t.Errorf("verdict %d while another delivery sends, want %d", got, hadIt)
	}
	o.forget("l1", first, "a", now)
	if got := o.ask("l1", second, "b", now); got != sendIt {
		t.Errorf("verdict %d after it came to nothing, want %d", got, sendIt)
	}
}

func TestOnlyTheLastMessagesAreKnown(t *testing.T) {
	var o once
	for i := range 3 * maxRecent {
		o.ask("l1", listed{id: fmt.Sprint(i), message: fmt.Sprint(i)}, "a", time.Unix(1_800_000_000, 0))
	}
	if len(o.lists.values) != maxRecent || len(o.lists.order) != maxRecent || len(o.same.values) != maxRecent {
		t.Errorf("%d lists, %d in order, %d messages are known, want %d", len(o.lists.values), len(o.lists.order), len(o.same.values), maxRecent)
	}
}
