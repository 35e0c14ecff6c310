//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/xmaild/xmaild/pkg/server/program/programtest"
)

// processLoad sends mail to lists and to accounts with files of commands, in a domain
// whose mail a filter rewrites.
type processLoad struct{ post }

const processDomain = "process.test"

// processed are the addresses that mail is sent to, and whose mailboxes it gets to.
var processed = map[string][]string{
	"user0":   {"user0"},
	"list":    {"user0", "user1", "user2"},
	"forward": {"forward", "user1"},
	"command": {"user2", "user3"},
	"nested":  {"forward", "user1", "user3"},
}

// stamp is what the filter adds to a message.
const stamp = "X-Filter: stamped\r\n"

var processedBoxes = []string{"user0", "user1", "user2", "user3", "forward"}

func newProcessLoad() *processLoad { return &processLoad{newPost()} }

func (p *processLoad) prepare(t *testing.T, root string) {
	t.Helper()
	program := programtest.Script(t, `sed 's/^Subject: /X-Filter: stamped\r\n&/' "$1" > "$1.new" && cat "$1.new" > "$1" && rm "$1.new" && exit 7; exit 75`+"\n")
	for name, content := range map[string]string{
		"filters.in.tab":    fmt.Sprintf("\"*\"\t\"*@%s\"\t\"0.0.0.0/0\"\t\"0.0.0.0/0\"\t\"stamp.tab\"\n", processDomain),
		"filters/stamp.tab": fmt.Sprintf("%q\t\"@@FILE\"\n", program),
	} {
		if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *processLoad) begin(t *testing.T, l life) {
	t.Helper()
	client := dialCtrl(t, l)
	if _, err := client.Do(t.Context(), "domainadd", processDomain); err != nil {
		t.Fatal(err)
	}
	for _, name := range processedBoxes {
		addAccounts(t, l, name+"@"+processDomain)
	}
	var commands [][]string
	for _, list := range []string{"list", "nested"} {
		commands = append(commands, []string{"useradd", processDomain, list, "pw", "M"}, []string{"uservarsset", processDomain, list, "ClosedML", "0"})
	}
	for _, member := range processed["list"] {
		commands = append(commands, []string{"mluseradd", processDomain, "list", member + "@" + processDomain, "RW"})
	}
	for _, member := range []string{"forward", "user3"} {
		commands = append(commands, []string{"mluseradd", processDomain, "nested", member + "@" + processDomain, "RW"})
	}
	for _, command := range commands {
		if _, err := client.Do(t.Context(), command...); err != nil {
			t.Fatalf("%q: %v", command, err)
		}
	}
	command := fmt.Sprintf("\"redirect\"\t\"user2@%[1]s\"\n\"lredirect\"\t\"user3@%[1]s\"\n", processDomain)
	if err := client.Upload(t.Context(), strings.NewReader(command), "cfgfileset", "cmdaliases/"+processDomain+"/command.tab"); err != nil {
		t.Fatal(err)
	}
	mailproc := fmt.Sprintf("\"mailbox\"\n\"redirect\"\t\"user1@%s\"\n", processDomain)
	if err := client.Upload(t.Context(), strings.NewReader(mailproc), "usersetmproc", processDomain, "forward"); err != nil {
		t.Fatal(err)
	}
}

func (p *processLoad) clients(l life, random *rand.Rand, f *findings) []func() {
	rng := rand.New(rand.NewPCG(random.Uint64(), 0))
	var targets []string
	for to := range processed {
		targets = append(targets, to+"@"+processDomain)
	}
	slices.Sort(targets) // the same seed chooses the same
	return []func(){func() {
		p.send(l, rng, f, func() []string { return []string{targets[rng.IntN(len(targets))]} })
	}}
}

func (p *processLoad) died(files, *findings) {}
func (p *processLoad) check(life, *findings) {}

// finish looks into all mailboxes.
func (p *processLoad) finish(disk files, f *findings) (int, string) {
	there := map[string]map[int]int{}
	for _, name := range processedBoxes {
		there[name] = mailbox(disk, name+"@"+processDomain, f, func(text string) {
			if !strings.Contains(text, stamp) {
				f.add("%s has a message that the filter has not seen: %.300q", name, text)
			}
		})
	}
	total := 0
	for number, addresses := range p.accepted {
		name, _, _ := strings.Cut(addresses[0], "@")
		for _, account := range processed[name] {
			if total++; there[account][number] == 0 {
				f.add("%s has not got message %d, which was acknowledged for %s", account, number, name)
			}
		}
	}
	return total, "deliveries by lists and files of commands"
}
