package address

import "testing"

// examples are addresses as they come, and how many allocations reading them may take.
var examples = []struct {
	kind, path string
	allocs     float64
}{
	{"plain", "<ann.other@mail.example.test> SIZE=4096", 0},
	{"null", "<> BODY=8BITMIME", 0},
	{"literal", "<ann@[192.0.2.1]>", 0},
	{"utf8", "<änn@exämple.test>", 0},
	{"quoted", `<"ann other"@example.test>`, 2},
	{"refused", "<ann@-example.test>", 0},
}

func TestReadingAPathTakesNoMemory(t *testing.T) {
	for _, e := range examples {
		if n := testing.AllocsPerRun(100, func() { ParsePath(e.path) }); n > e.allocs {
			t.Errorf("%s: %v allocations, want %v at most", e.path, n, e.allocs)
		}
	}
	p, _, err := ParsePath(examples[0].path)
	if err != nil {
		t.Fatal(err)
	}
	q := Path{Local: "ANN.OTHER", Domain: "Mail.Example.TEST"}
	if n := testing.AllocsPerRun(100, func() {
		if !p.Equal(q) || !p.Plain() || p.UTF8() || !IsDomain(p.Domain) {
			t.Error("the path is another one")
		}
	}); n != 0 {
		t.Errorf("questions to a path: %v allocations, want 0", n)
	}
}

func BenchmarkParsePath(b *testing.B) {
	for _, e := range examples {
		b.Run("kind="+e.kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ParsePath(e.path)
			}
		})
	}
}
