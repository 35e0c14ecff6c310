package main

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzLines prints whatever a server may send as a line in every format.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"", `"`, `""`, "\"a\"\t\"b\"", "\"say \"hi\"\"\t\"\"", "\x1b[2J\x9b\u009b\xff\x83\\", "\t\t", `\x1b`, "plain \\ text"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\n") {
			return // the end of a line
		}
		for form := range formatNames {
			for _, s := range []shape{{}, {text: true}, {columns: []string{"one", "two"}}} {
				out := render(t, format(form), s, true, line)
				for _, r := range out {
					if isControl(r) && r != '\n' && r != '\t' {
						t.Fatalf("%s of %q sends %U to the terminal: %q", formatNames[form], line, r, out)
					}
				}
				if format(form) == formatTSV && strings.Count(out, "\n") != 1 {
					t.Fatalf("tsv of %q is %q, want one line", line, out)
				}
			}
		}
		if got := render(t, formatRaw, shape{}, false, line); got != line+"\n" {
			t.Fatalf("raw of %q is %q", line, got)
		}
		var back []any
		if out := render(t, formatJSON, shape{text: true}, false, line); json.Unmarshal([]byte(out), &back) != nil || len(back) != 1 {
			t.Fatalf("JSON of %q is %s", line, out)
		}
		got, ok := back[0].(string)
		if !ok {
			b, err := base64.StdEncoding.DecodeString(back[0].(map[string]any)["base64"].(string))
			if err != nil {
				t.Fatal(err)
			}
			got = string(b)
		}
		if got != line {
			t.Fatalf("JSON of %q reads back as %q", line, got)
		}
		if fields, ok := splitRow(line); ok && `"`+strings.Join(fields, "\"\t\"")+`"` != line {
			t.Fatalf("splitRow(%q) = %q, which is another row", line, fields)
		}
	})
}
